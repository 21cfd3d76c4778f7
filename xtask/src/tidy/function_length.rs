//! Functions fit on a screen; tests, which tell a story, on two.
//!
//! Counted are the lines between the braces. Functions inside a macro call are not seen.

use proc_macro2::Span;
use syn::visit::{self, Visit};

use super::finding::Finding;
use super::tree::RustFile;

const MOST_LINES: usize = 70;
const MOST_LINES_IN_TESTS: usize = 120;

pub(super) fn check(file: &RustFile) -> Vec<Finding> {
    let mut functions = Functions { path: &file.path, in_tests: file.is_test(), findings: Vec::new() };
    functions.visit_file(&file.syntax);
    functions.findings
}

struct Functions<'f> {
    path: &'f str,
    in_tests: bool,
    findings: Vec<Finding>,
}

impl Functions<'_> {
    fn judge(&mut self, attributes: &[syn::Attribute], signature: &syn::Signature, body: &syn::Block) {
        let test = self.in_tests || attributes.iter().any(is_test);
        let most = if test { MOST_LINES_IN_TESTS } else { MOST_LINES };
        let lines = lines_between(body.brace_token.span.open(), body.brace_token.span.close());
        if lines > most {
            let name = &signature.ident;
            let message =
                format!("fn {name} has {lines} lines, and {most} is the limit: give its steps names");
            self.findings.push(Finding::error(self.path, signature.ident.span().start().line, message));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.judge(&item.attrs, &item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.judge(&item.attrs, &item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.judge(&item.attrs, &item.sig, body);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let outside = self.in_tests;
        self.in_tests |= item.attrs.iter().any(is_cfg_test);
        visit::visit_item_mod(self, item);
        self.in_tests = outside;
    }
}

/// `#[test]`, `#[tokio::test]` and their like.
fn is_test(attribute: &syn::Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|last| last.ident == "test")
}

fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
}

fn lines_between(open: Span, close: Span) -> usize {
    (close.start().line - open.start().line).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    fn body(lines: usize) -> String {
        format!("{{\n{}}}\n", "    work();\n".repeat(lines))
    }

    fn found(path: &str, text: &str) -> Vec<usize> {
        check(&RustFile::fixture(path, text)).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_function_that_does_not_fit_on_a_screen_is_found_wherever_it_is() {
        let (fits, long) = (body(70), body(71));
        assert_eq!(found("crates/a/src/lib.rs", &format!("fn f() {fits}")), NONE);
        assert_eq!(found("crates/a/src/lib.rs", &format!("\nfn f() {long}")), [2]);
        assert_eq!(found("crates/a/src/lib.rs", &format!("impl A {{\nasync fn f() {long}}}")), [2]);
        assert_eq!(found("crates/a/src/lib.rs", &format!("trait A {{\nfn f() {long}}}")), [2]);
    }

    #[test]
    fn a_test_has_more_room_and_a_limit_too() {
        let (fits, long) = (body(120), body(121));
        assert_eq!(found("crates/a/src/lib.rs", &format!("#[tokio::test]\nasync fn f() {fits}")), NONE);
        assert_eq!(
            found("crates/a/src/lib.rs", &format!("#[cfg(test)]\nmod tests {{ fn f() {fits} }}")),
            NONE
        );
        assert_eq!(found("crates/a/tests/a.rs", &format!("fn f() {fits}")), NONE);
        assert_eq!(found("crates/a/tests/a.rs", &format!("fn f() {long}")), [1]);
    }
}
