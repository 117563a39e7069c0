/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Included before Linux's tests of namespaces and ntsync: raises the timeout of each test from
 * kselftest's 30 seconds to 300, for a busy host and for a slow kernel, such as one with KASAN.
 */

/* Files without tests include this as well; weak lets the linker merge the definitions. */
#pragma weak _fixture_global
#include "kselftest_harness.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 300
