/tmp/wt-merge/harness/target/debug/deps/timens_harness-034aaa66bbe87ade.d: src/main.rs src/age.rs src/bench.rs src/bench/output.rs src/bench/report.rs src/bench/rows.rs src/bench/size.rs src/bench/stores.rs src/bench_vdso.rs src/bench_vdso/data.rs src/bench_vdso/image.rs src/bench_vdso/mapping.rs src/bench_vdso/plot.rs src/bench_vdso/report.rs src/check.rs src/clients.rs src/cover.rs src/coverage.rs src/fuzz.rs src/fuzz/offsets.rs src/fuzz/shrink.rs src/guest.rs src/ide.rs src/initramfs.rs src/kbuild.rs src/ktap.rs src/plot.rs src/programs.rs src/race.rs src/report.rs src/sanitize.rs src/series.rs src/session.rs src/statistics.rs src/steps.rs src/test.rs src/toolchain.rs src/../coverage.reasons src/ktap.py Cargo.toml

/tmp/wt-merge/harness/target/debug/deps/libtimens_harness-034aaa66bbe87ade.rmeta: src/main.rs src/age.rs src/bench.rs src/bench/output.rs src/bench/report.rs src/bench/rows.rs src/bench/size.rs src/bench/stores.rs src/bench_vdso.rs src/bench_vdso/data.rs src/bench_vdso/image.rs src/bench_vdso/mapping.rs src/bench_vdso/plot.rs src/bench_vdso/report.rs src/check.rs src/clients.rs src/cover.rs src/coverage.rs src/fuzz.rs src/fuzz/offsets.rs src/fuzz/shrink.rs src/guest.rs src/ide.rs src/initramfs.rs src/kbuild.rs src/ktap.rs src/plot.rs src/programs.rs src/race.rs src/report.rs src/sanitize.rs src/series.rs src/session.rs src/statistics.rs src/steps.rs src/test.rs src/toolchain.rs src/../coverage.reasons src/ktap.py Cargo.toml

src/main.rs:
src/age.rs:
src/bench.rs:
src/bench/output.rs:
src/bench/report.rs:
src/bench/rows.rs:
src/bench/size.rs:
src/bench/stores.rs:
src/bench_vdso.rs:
src/bench_vdso/data.rs:
src/bench_vdso/image.rs:
src/bench_vdso/mapping.rs:
src/bench_vdso/plot.rs:
src/bench_vdso/report.rs:
src/check.rs:
src/clients.rs:
src/cover.rs:
src/coverage.rs:
src/fuzz.rs:
src/fuzz/offsets.rs:
src/fuzz/shrink.rs:
src/guest.rs:
src/ide.rs:
src/initramfs.rs:
src/kbuild.rs:
src/ktap.rs:
src/plot.rs:
src/programs.rs:
src/race.rs:
src/report.rs:
src/sanitize.rs:
src/series.rs:
src/session.rs:
src/statistics.rs:
src/steps.rs:
src/test.rs:
src/toolchain.rs:
src/../coverage.reasons:
src/ktap.py:
Cargo.toml:

# env-dep:CARGO_MANIFEST_DIR=/tmp/wt-merge/harness
# env-dep:CARGO_PKG_DESCRIPTION=Builds, boots and tests the kernels of this repository
# env-dep:CARGO_PKG_NAME=timens-harness
# env-dep:CARGO_PKG_VERSION=0.1.0
# env-dep:CLIPPY_ARGS=
# env-dep:CLIPPY_CONF_DIR
