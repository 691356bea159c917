//! Statements that only print or report, and profiles composed by hand.

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Expr, Stmt};

use super::syntax::RustFile;
use super::walk::{compact, line, lines, type_name};

/// Macros that print or report and do nothing else.
const REPORTING_MACROS: &[&str] = &[
    "print",
    "println",
    "eprint",
    "eprintln",
    "dbg",
    "trace",
    "debug",
    "info",
    "warn",
    "error",
    "log",
    "event",
    "trace_span",
    "debug_span",
    "info_span",
    "warn_span",
    "error_span",
    "span",
];
/// Parts of paths and receivers that mean a call only reports.
const REPORTING_PATHS: &[&str] = &["telemetry", "tracing", "log", "logger", "metrics", "metric"];
/// Type whose values only its own `resolve()` composes.
const PROFILE_TYPE: &str = "ExecutionProfile";

/// Notes them in `facts`.
pub(super) fn file(file: &syn::File, facts: &mut RustFile) {
    let mut visitor = Statements {
        facts,
        impl_type: None,
    };
    visitor.visit_file(file);
}

/// Looks for statements that only report, and for composed profiles.
struct Statements<'a> {
    facts: &'a mut RustFile,
    impl_type: Option<String>,
}

impl<'ast> Visit<'ast> for Statements<'_> {
    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        if reports(statement) {
            self.facts.instrumentation.push(lines(statement));
        }
        visit::visit_stmt(self, statement);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !item.block.stmts.is_empty() && item.block.stmts.iter().all(reports) {
            self.facts.instrumentation.push(lines(item));
        }
        visit::visit_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let outer = self.impl_type.replace(type_name(&item.self_ty));
        visit::visit_item_impl(self, item);
        self.impl_type = outer;
    }

    fn visit_expr_struct(&mut self, literal: &'ast syn::ExprStruct) {
        let name = literal
            .path
            .segments
            .last()
            .map(|segment| segment.ident.to_string())
            .unwrap_or_default();
        if name == PROFILE_TYPE || name == "Self" && self.impl_type.as_deref() == Some(PROFILE_TYPE)
        {
            self.facts.profiles.push(line(literal.span().start().line));
        }
        visit::visit_expr_struct(self, literal);
    }
}

fn reports(statement: &Stmt) -> bool {
    match statement {
        Stmt::Macro(statement) => reporting_macro(&statement.mac),
        Stmt::Expr(expr, _) => reporting_expr(expr),
        Stmt::Local(local) => local.init.as_ref().is_some_and(|init| {
            let name = compact(local.pat.to_token_stream());
            name.starts_with('_') && reporting_expr(&init.expr)
        }),
        Stmt::Item(_) => false,
    }
}

fn reporting_macro(mac: &syn::Macro) -> bool {
    mac.path
        .segments
        .last()
        .is_some_and(|segment| REPORTING_MACROS.contains(&segment.ident.to_string().as_str()))
}

fn reporting_expr(expr: &Expr) -> bool {
    match expr {
        Expr::Macro(expr) => reporting_macro(&expr.mac),
        Expr::Call(call) => match &*call.func {
            Expr::Path(path) => path
                .path
                .segments
                .iter()
                .any(|s| REPORTING_PATHS.contains(&s.ident.to_string().as_str())),
            _ => false,
        },
        Expr::MethodCall(call) => {
            reporting_expr(&call.receiver) || reporting_receiver(&call.receiver)
        }
        Expr::Try(inner) => reporting_expr(&inner.expr),
        Expr::If(branch) => {
            branch.else_branch.is_none()
                && !branch.then_branch.stmts.is_empty()
                && branch.then_branch.stmts.iter().all(reports)
        }
        Expr::Block(block) => {
            !block.block.stmts.is_empty() && block.block.stmts.iter().all(reports)
        }
        _ => false,
    }
}

fn reporting_receiver(receiver: &Expr) -> bool {
    match receiver {
        Expr::Path(path) => path
            .path
            .segments
            .last()
            .is_some_and(|s| REPORTING_PATHS.contains(&s.ident.to_string().as_str())),
        Expr::Field(field) => {
            matches!(&field.member, syn::Member::Named(name) if REPORTING_PATHS.contains(&name.to_string().as_str()))
        }
        _ => false,
    }
}
