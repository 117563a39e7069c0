// SPDX-License-Identifier: GPL-2.0

//! `#[kunit_tests(suite)]`, which turns a module into a KUnit suite in the kernel, and into unit
//! tests here.

use proc_macro::TokenStream;

#[proc_macro_attribute]
pub fn kunit_tests(_suite: TokenStream, module: TokenStream) -> TokenStream {
    let mut tests: TokenStream = "#[cfg(test)]".parse().expect("an attribute");
    tests.extend(module);
    tests
}
