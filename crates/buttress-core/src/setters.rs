/// Writes the setters of a configuration: one for each field that is listed, by its name, of the type that it takes.
/// After a comma: by which method that becomes the field's type.
///
/// For the crates of buttress; it may change in any version.
#[doc(hidden)]
#[macro_export]
macro_rules! __setters {
    ($config:ident; $($field:ident: $arg:ty $(, $convert:ident)?;)*) => { impl $config { $(
        // The method has its field's name: without `field@` it would link to itself.
        #[doc = ::core::concat!(
            "Sets [`", ::core::stringify!($config), "::", ::core::stringify!($field), "`]",
            "(field@Self::", ::core::stringify!($field), ").",
        )]
        #[must_use]
        pub fn $field(mut self, $field: $arg) -> Self {
            self.$field = $field$(.$convert())?;
            self
        }
    )* } };
}
