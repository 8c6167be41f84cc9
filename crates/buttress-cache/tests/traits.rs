//! Promises of the types: auto traits, and `Debug` without what is in them.

use buttress_cache::{Cache, Config, Policy, Stats};
use static_assertions::{assert_impl_all, assert_not_impl_any};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

assert_impl_all!(Cache<String, Vec<u8>>: Clone, Send, Sync, Unpin);
assert_impl_all!(Config: Clone, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Policy: Copy, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Stats: Copy, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
assert_not_impl_any!(Cache<u8, Rc<()>>: Send, Sync);

#[test]
fn what_is_cached_is_not_printed() {
    let cache = Cache::new("tokens", Config::default());
    cache.insert("user", "secret");
    let printed = format!("{cache:?}");
    assert!(
        printed.contains("tokens") && !printed.contains("secret") && !printed.contains("user"),
        "{printed}"
    );
}
