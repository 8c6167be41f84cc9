//! The auto traits that the vocabulary promises.

use buttress_core::{
    AnyError, Distribution, Error, Histogram, Lanes, Name, Observe, Outcome, Ratio, Reason, Rejected,
};
use static_assertions::{assert_impl_all, assert_not_impl_any};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::sync::Arc;

assert_impl_all!(Rejected: Copy, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, std::error::Error);
assert_impl_all!(Reason: Copy, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Name: Copy, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, From<&'static str>);
assert_not_impl_any!(Name: From<String>); // of strings there is no end
assert_impl_all!(Outcome: Copy, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Ratio: Copy, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(AnyError: Copy, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Histogram: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Distribution: Clone, Eq, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Lanes<u64>: Clone, Send, Sync, Unpin);
assert_impl_all!(Error<std::io::Error>: Send, Sync, Unpin, std::error::Error, From<Rejected>);
assert_impl_all!(Box<dyn std::error::Error + Send + Sync>: From<Rejected>);
assert_not_impl_any!(Error<Rc<()>>: Send, Sync); // it is what its inner error is
assert_impl_all!(Arc<dyn Observe<u8> + Send + Sync>: Observe<u8>, Clone, Send, Sync);

#[test]
fn a_refusal_is_small_enough_to_be_copied() {
    assert!(size_of::<Rejected>() <= 56, "{}", size_of::<Rejected>());
    assert_eq!(size_of::<Option<Rejected>>(), size_of::<Rejected>());
}
