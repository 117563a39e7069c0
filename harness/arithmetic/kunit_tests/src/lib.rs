// SPDX-License-Identifier: GPL-2.0

//! `#[kunit_tests(suite)]`, which in the kernel makes a KUnit suite of a module of tests, makes
//! ordinary tests of it here.

use proc_macro::TokenStream;

#[proc_macro_attribute]
pub fn kunit_tests(_suite: TokenStream, module: TokenStream) -> TokenStream {
    let mut tests: TokenStream = "#[cfg(test)]".parse().expect("an attribute");
    tests.extend(module);
    tests
}
