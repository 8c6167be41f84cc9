/// Finds the key of a request, by which a layer keeps requests together or apart.
///
/// A closure `|request| Some(key)` is one. `None` lets the request pass as if the layer were not there.
/// The key is made once per request; where its allocation matters choose a `u64`, an `Arc<str>`, a
/// `http::Uri` (shared bytes) or a 128-bit hash.
///
/// # Examples
///
/// ```
/// use buttress_core::KeyOf;
///
/// let tenant = |request: &(u64, String)| Some(request.0);
/// assert_eq!(tenant.key_of(&(7, "list".into())), Some(7));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` finds no key in a `{Req}`",
    label = "not a key function for this request",
    note = "a key function is a closure such as `|request: &{Req}| Some(request.tenant)`; `None` bypasses the layer",
    note = "a type of your own implements `KeyOf<{Req}>`"
)]
pub trait KeyOf<Req> {
    /// What requests are told apart by.
    type Key;

    /// The key of `req`, or `None` to bypass the layer.
    fn key_of(&self, req: &Req) -> Option<Self::Key>;
}

impl<Req, K, F> KeyOf<Req> for F
where
    F: Fn(&Req) -> Option<K>,
{
    type Key = K;

    fn key_of(&self, req: &Req) -> Option<K> {
        self(req)
    }
}
