//! Sizes, docs and sleeps of one Rust file.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::{COLUMNS_MAX, FILE_LINES_MAX, Finding, Source};

/// STYLE §1: longest function, from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// An arm that is longer does something, rather than dispatch.
const ARM_LINES_MAX: usize = 8;
/// Crates whose public items must be documented.
const LIBRARIES: [&str; 5] =
    ["sync/core/src/", "sync/io/src/", "codec/src/", "hub/src/", "scenarios/src/"];

/// Checks one file.
pub fn check(source: &Source, file: &syn::File) -> Vec<Finding> {
    let path = &source.path;
    let is_library = LIBRARIES.iter().any(|folder| path.starts_with(folder));
    let is_test_file = path.contains("/tests/") || path.ends_with("/tests.rs");
    let mut reader = Reader {
        path,
        needs_docs: is_library && !is_test_file && !path.ends_with("main.rs"),
        is_test: is_test_file,
        loops: 0,
        test_lines: 0,
        unbreakable: Vec::new(),
        findings: Vec::new(),
    };
    if !has_doc(&file.attrs) && !is_test_file {
        reader.find(1, "the file says nothing about itself (begin with //!)");
    }
    reader.visit_file(file);
    let lines = source.text.lines().count() - reader.test_lines;
    if lines > FILE_LINES_MAX && !is_test_file {
        reader.find(1, &format!("{lines} lines without tests (limit {FILE_LINES_MAX})"));
    }
    reader.check_columns(&source.text);
    reader.findings
}

struct Reader<'a> {
    path: &'a str,
    needs_docs: bool,
    is_test: bool,
    loops: usize,
    test_lines: usize,
    /// Lines of string literals that may be long: SQL.
    unbreakable: Vec<std::ops::RangeInclusive<usize>>,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    fn find(&mut self, line: usize, what: &str) {
        self.findings.push(Finding::new(self.path, line, what));
    }

    fn check_columns(&mut self, text: &str) {
        for (i, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            let is_sql = self.unbreakable.iter().any(|lines| lines.contains(&(i + 1)));
            if columns > COLUMNS_MAX && !line.contains("://") && !is_sql {
                self.find(i + 1, &format!("{columns} columns (limit {COLUMNS_MAX})"));
            }
        }
    }

    fn check_docs(&mut self, vis: &syn::Visibility, attrs: &[syn::Attribute], name: &syn::Ident) {
        let is_public = matches!(vis, syn::Visibility::Public(_));
        if is_public && self.needs_docs && !self.is_test && !has_doc(attrs) {
            self.find(name.span().start().line, &format!("public `{name}` has no doc comment"));
        }
    }

    fn check_function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (from, to) = (signature.span().start().line, block.span().end().line);
        let lines = to - from + 1;
        if lines > FUNCTION_LINES_MAX && !only_dispatches(block) {
            let name = &signature.ident;
            self.find(from, &format!("fn {name}: {lines} lines (limit {FUNCTION_LINES_MAX})"));
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        use syn::Item;
        match item {
            Item::Const(i) => self.check_docs(&i.vis, &i.attrs, &i.ident),
            Item::Enum(i) => self.check_docs(&i.vis, &i.attrs, &i.ident),
            Item::Fn(i) => self.check_docs(&i.vis, &i.attrs, &i.sig.ident),
            Item::Static(i) => self.check_docs(&i.vis, &i.attrs, &i.ident),
            Item::Struct(i) => self.check_docs(&i.vis, &i.attrs, &i.ident),
            Item::Trait(i) => self.check_docs(&i.vis, &i.attrs, &i.ident),
            Item::Type(i) => self.check_docs(&i.vis, &i.attrs, &i.ident),
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let was_test = self.is_test;
        if module.attrs.iter().any(is_cfg_test) {
            self.is_test = true;
            let span = module.span();
            self.test_lines += span.end().line - span.start().line + 1;
        }
        visit::visit_item_mod(self, module);
        self.is_test = was_test;
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.check_function(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.check_docs(&function.vis, &function.attrs, &function.sig.ident);
        self.check_function(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_expr_loop(&mut self, expr: &'ast syn::ExprLoop) {
        self.loops += 1;
        visit::visit_expr_loop(self, expr);
        self.loops -= 1;
    }

    fn visit_expr_while(&mut self, expr: &'ast syn::ExprWhile) {
        self.loops += 1;
        visit::visit_expr_while(self, expr);
        self.loops -= 1;
    }

    fn visit_expr_for_loop(&mut self, expr: &'ast syn::ExprForLoop) {
        self.loops += 1;
        visit::visit_expr_for_loop(self, expr);
        self.loops -= 1;
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        // In a loop it is the pause between two looks at a condition, which is what is asked for.
        if let syn::Expr::Path(function) = &*call.func
            && function.path.segments.last().is_some_and(|name| name.ident == "sleep")
            && self.is_test
            && self.loops == 0
        {
            self.find(call.span().start().line, "a test sleeps (wait for a condition instead)");
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if let Some(name) = call.path.segments.last().map(|name| name.ident.to_string())
            && ["todo", "unimplemented", "dbg"].contains(&name.as_str())
        {
            self.find(call.span().start().line, &format!("{name}! may not stay"));
        }
        // Literals inside of macros: `params!`, `format!`, `concat!`.
        for token in call.tokens.clone() {
            if let Ok(text) = syn::parse2::<syn::LitStr>(token.into()) {
                self.visit_lit_str(&text);
            }
        }
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.note_literal(text);
    }
}

impl Reader<'_> {
    fn note_literal(&mut self, text: &syn::LitStr) {
        let verbs = ["select ", "insert ", "update ", "delete ", "create ", "with ", "pragma "];
        let value = text.value().trim_start().to_lowercase();
        if verbs.iter().any(|verb| value.starts_with(verb)) {
            self.unbreakable.push(text.span().start().line..=text.span().end().line);
        }
    }
}

fn only_dispatches(block: &syn::Block) -> bool {
    let [syn::Stmt::Expr(syn::Expr::Match(only), _)] = block.stmts.as_slice() else {
        return false;
    };
    let lines = |arm: &syn::Arm| arm.span().end().line - arm.span().start().line + 1;
    only.arms.iter().all(|arm| lines(arm) <= ARM_LINES_MAX)
}

fn has_doc(attrs: &[syn::Attribute]) -> bool {
    attrs.iter().any(|attr| attr.path().is_ident("doc"))
}

fn is_cfg_test(attr: &syn::Attribute) -> bool {
    attr.path().is_ident("cfg")
        && attr.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let source = Source { path: path.into(), text: format!("//! A file.\n{text}") };
        let file = syn::parse_file(&source.text).unwrap();
        check(&source, &file).iter().map(|f| format!("{}: {}", f.line, f.what)).collect()
    }

    #[test]
    fn a_function_of_71_lines_is_found_and_one_of_70_is_not() {
        let function = |lines: usize| format!("fn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2));
        assert_eq!(found("a.rs", &function(71)), ["2: fn f: 71 lines (limit 70)"]);
        assert!(found("a.rs", &function(70)).is_empty());
    }

    #[test]
    fn one_match_may_be_long_if_its_arms_are_short() {
        let arms = |body: &str| format!("fn f() {{ match 0 {{\n{body}_ => h() }} }}");
        assert!(found("a.rs", &arms(&"1 => g(),\n".repeat(80))).is_empty());
        let long_arm = format!("1 => {{\n{}}}\n", "g();\n".repeat(80));
        assert_eq!(found("a.rs", &arms(&long_arm)).len(), 1);
    }

    #[test]
    fn tests_do_not_count_for_the_size_of_a_file() {
        let code = "fn f() {}\n".repeat(490);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "fn g() {}\n".repeat(300));
        assert!(found("a.rs", &(code.clone() + &tests)).is_empty());
        let more = "fn f() {}\n".repeat(20);
        assert_eq!(
            found("a.rs", &(code + &more + &tests)),
            ["1: 511 lines without tests (limit 500)"]
        );
    }

    #[test]
    fn long_lines_are_found_but_sql_and_addresses_are_left() {
        let long = "a".repeat(100);
        assert_eq!(found("a.rs", &format!("// {long}\n")), ["2: 103 columns (limit 100)"]);
        assert!(found("a.rs", &format!("// https://{long}\n")).is_empty());
        assert!(found("a.rs", &format!("const Q: &str = \"select {long}\";\n")).is_empty());
        assert_eq!(found("a.rs", &format!("const Q: &str = \"{long}\";\n")).len(), 1);
        assert!(found("a.rs", &format!("fn f() {{ q!(\"\n  select {long}\"); }}\n")).is_empty());
    }

    #[test]
    fn public_items_of_libraries_need_docs() {
        let text =
            "pub fn f() {}\npub struct S;\nimpl S {\n    pub fn g() {}\n}\nfn private() {}\n";
        assert_eq!(found("codec/src/a.rs", text).len(), 3);
        assert!(found("tools/src/a.rs", text).is_empty());
        assert!(found("codec/src/a.rs", "/// Documented.\npub fn f() {}\n").is_empty());
        assert!(found("codec/src/a.rs", "pub(crate) fn f() {}\n").is_empty());
    }

    #[test]
    fn a_test_that_sleeps_is_found_unless_it_waits_for_a_condition() {
        let test = |body: &str| format!("#[cfg(test)]\nmod tests {{\n fn t() {{ {body} }}\n}}\n");
        assert_eq!(found("a.rs", &test("std::thread::sleep(d);")).len(), 1);
        assert!(found("a.rs", &test("while !ready() { std::thread::sleep(d); }")).is_empty());
        assert!(found("a.rs", "fn f() { sleep(d); }").is_empty());
    }

    #[test]
    fn unfinished_macros_are_found() {
        assert_eq!(found("a.rs", "fn f() { todo!() }"), ["2: todo! may not stay"]);
        assert_eq!(found("a.rs", "fn f() { dbg!(1); }"), ["2: dbg! may not stay"]);
    }
}
