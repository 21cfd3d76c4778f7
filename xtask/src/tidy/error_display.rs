//! An error's text never repeats its source: whoever prints the chain would print it twice.
//!
//! Looks at thiserror's `#[error("…")]`. A source is a field with `#[source]` or `#[from]`, or one named `source`. A
//! part of the source (`.0.code()`) may be said; `#[error(transparent)]` is how to be the source.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::finding::Finding;
use super::tree::RustFile;

pub(super) fn check(file: &RustFile) -> Vec<Finding> {
    let mut errors = Errors { path: &file.path, findings: Vec::new() };
    errors.visit_file(&file.syntax);
    errors.findings
}

struct Errors<'f> {
    path: &'f str,
    findings: Vec<Finding>,
}

impl Errors<'_> {
    fn judge(&mut self, attributes: &[syn::Attribute], fields: &syn::Fields) {
        let sources = sources(fields);
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("error")) {
            let syn::Meta::List(list) = &attribute.meta else { continue };
            for source in sources.iter().filter(|source| says(&list.tokens, source)) {
                let line = attribute.pound_token.span.start().line;
                let message = format!(
                    "the text repeats its source `{source}`, which is printed after it anyway: leave it out, or use \
                     #[error(transparent)]"
                );
                self.findings.push(Finding::error(self.path, line, message));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Errors<'_> {
    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.judge(&variant.attrs, &variant.fields);
        visit::visit_variant(self, variant);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.judge(&item.attrs, &item.fields);
        visit::visit_item_struct(self, item);
    }
}

/// Names, or positions, of the fields that are sources.
fn sources(fields: &syn::Fields) -> Vec<String> {
    let named = fields.iter().enumerate().map(|(position, field)| {
        let name = field.ident.as_ref().map_or_else(|| position.to_string(), ToString::to_string);
        (name, field)
    });
    let is_source = |(name, field): &(String, &syn::Field)| {
        let marked = |attribute: &syn::Attribute| {
            attribute.path().is_ident("source") || attribute.path().is_ident("from")
        };
        name == "source" || field.attrs.iter().any(marked)
    };
    named.filter(is_source).map(|(name, _)| name).collect()
}

/// Whether the format string has a placeholder for `field`, or an argument is `.field` itself.
fn says(tokens: &TokenStream, field: &str) -> bool {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let Some(TokenTree::Literal(format)) = tokens.first() else { return false };
    let Ok(syn::Lit::Str(format)) = syn::parse_str(&format.to_string()) else { return false };
    placeholders(&format.value()).iter().any(|name| name == field) || passes(&tokens[1..], field)
}

/// The names inside the braces of a format string, without what follows a colon.
fn placeholders(format: &str) -> Vec<String> {
    let literal = format.replace("{{", "").replace("}}", "");
    let inside = literal.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    inside.map(|(inside, _)| inside.split(':').next().unwrap_or_default().trim().to_owned()).collect()
}

/// Whether `.field` stands among the arguments with nothing further taken from it.
fn passes(arguments: &[TokenTree], field: &str) -> bool {
    let is_dot =
        |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(dot)) if dot.as_char() == '.');
    (0..arguments.len()).any(|at| {
        let begins = at == 0 || !matches!(arguments[at - 1], TokenTree::Ident(_) | TokenTree::Group(_));
        let named = arguments.get(at + 1).is_some_and(|name| name.to_string() == field);
        begins && is_dot(arguments.get(at)) && named && !is_dot(arguments.get(at + 2))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variant: &str) -> usize {
        let text = format!("#[derive(Error)]\nenum E {{ {variant} }}");
        check(&RustFile::fixture("crates/a/src/lib.rs", &text)).len()
    }

    #[test]
    fn a_text_that_repeats_its_source_is_found_in_each_way_to_write_it() {
        for variant in [
            r##"#[error("can't open: {0}")] Open(#[from] Io)"##,
            r##"#[error("can't open: {0:?}")] Open(#[source] Io)"##,
            r##"#[error("can't open {path}: {source}")] Open { path: String, source: Io }"##,
            r##"#[error("can't open: {cause}")] Open { #[source] cause: Io }"##,
            r##"#[error("can't open: {}", .0)] Open(#[from] Io)"##,
            r##"#[error("can't open: {why}", why = .cause)] Open { #[from] cause: Io }"##,
        ] {
            assert_eq!(found(variant), 1, "{variant}");
        }
    }

    #[test]
    fn a_struct_is_looked_at_too() {
        let text = "#[derive(Error)]\n#[error(\"can't open: {0}\")]\nstruct Open(#[source] Io);";
        assert_eq!(check(&RustFile::fixture("crates/a/src/lib.rs", text))[0].line, 2);
    }

    #[test]
    fn other_fields_and_parts_of_the_source_may_be_said() {
        for variant in [
            r##"#[error(transparent)] Open(#[from] Io)"##,
            r##"#[error("can't open {0}")] Open(String, #[source] Io)"##,
            r##"#[error("can't open {path}")] Open { path: String, source: Io }"##,
            r##"#[error("can't open, code {}", .0.code())] Open(#[from] Io)"##,
            r##"#[error("a literal {{0}}")] Open(#[from] Io)"##,
            r##"#[error("not open: {0}")] Open(String)"##,
        ] {
            assert_eq!(found(variant), 0, "{variant}");
        }
    }
}
