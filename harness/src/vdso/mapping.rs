// SPDX-License-Identifier: GPL-2.0

//! An image in this process, behind data pages that are filled here, and calls into it.
//!
//! Nearly all `unsafe` of the crate is here.

use super::{
    data::{TimeData, Timestamp, CLOCKS, CLOCK_WORDS, MONOTONIC},
    image::Image,
};
use anyhow::{bail, ensure, Context, Result};
use nix::{
    sys::{
        mman::{mmap_anonymous, mprotect, munmap, MapFlags, ProtFlags},
        ptrace,
        signal::{raise, Signal},
        wait::{waitpid, WaitStatus},
    },
    unistd::{fork, ForkResult},
};
use std::{
    arch::{
        asm,
        x86_64::{_mm_clflush, _mm_lfence, _mm_mfence, _rdtsc},
    },
    cell::UnsafeCell,
    ffi::c_void,
    marker::PhantomData,
    num::NonZeroUsize,
    ptr::NonNull,
    sync::atomic::{fence, AtomicU32, Ordering},
};

const PAGE: usize = 4096;
const CACHE_LINE: usize = 64;
/// `__VDSO_PAGES` of asm/vdso/vsyscall.h: they lie directly in front of the image.
const DATA_PAGES: usize = 6;
/// Far more instructions than any call needs that returns.
const INSTRUCTION_LIMIT: u32 = 10_000;
/// All mappings lie at the same place relative to this alignment, so that none has better luck
/// with the sets of caches and predictors than another.
const ALIGNMENT: usize = 2 << 20;

/// A function of the vDSO, with the clock that it reads.
#[derive(Clone, Copy, Debug)]
pub enum Read {
    Clock(usize),
    TimeOfDay,
    Time,
    Resolution,
}

/// Any function of the image: all take integers or pointers and return an integer.
type Function = extern "C" fn(usize, usize) -> usize;

/// The place that a function writes its result to.
///
/// In the upper half of its page, so that its stores never look like the loads from the first
/// lines of the data pages, whose addresses the CPU compares by their low 12 bits first.
#[repr(C, align(4096))]
pub struct Answer {
    unused: [u8; PAGE / 2],
    value: UnsafeCell<Timestamp>,
}

impl Answer {
    pub fn new() -> Box<Self> {
        Box::new(Self { unused: [0; PAGE / 2], value: UnsafeCell::default() })
    }

    pub fn clear(&self) {
        // SAFETY: as in `get`.
        unsafe { self.value.get().write_volatile(Timestamp::default()) }
    }

    pub fn get(&self) -> Timestamp {
        // SAFETY: written only by calls, which are over, and not from other threads.
        unsafe { self.value.get().read_volatile() }
    }
}

/// A call of one function of an image.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    function: Function,
    arguments: (usize, usize),
    lifetime: PhantomData<(&'a Mapping<'a>, &'a Answer)>,
}

impl Call<'_> {
    #[inline(always)]
    pub fn call(&self) -> usize {
        (self.function)(self.arguments.0, self.arguments.1)
    }

    /// The TSC cycles of `bursts` bursts of `calls` calls.
    ///
    /// Calls without end settle into one of several rhythms of the pipeline by chance, and stay in
    /// it. Draining the pipeline before every burst makes all start alike.
    #[inline(never)]
    pub fn time(&self, bursts: u32, calls: u32) -> u64 {
        let begin = cycles();
        for _ in 0..bursts {
            drain();
            for _ in 0..calls {
                self.call();
            }
        }
        cycles() - begin
    }
}

/// Waits until all earlier instructions are done.
#[inline(always)]
fn drain() {
    // SAFETY: every x86-64 CPU has this instruction, and it touches no memory.
    unsafe { _mm_lfence() };
}

/// Reads the time stamp counter after all earlier and before all later instructions.
#[inline(always)]
pub fn cycles() -> u64 {
    drain();
    // SAFETY: every x86-64 CPU has this instruction, and it touches no memory.
    let cycles = unsafe { _rdtsc() };
    drain();
    cycles
}

/// The core cycles of the [`yardstick`]: a multiplication takes 3, from Nehalem and from Zen on.
pub const YARD: u64 = 3 * YARD_ROUNDS * 4;
const YARD_ROUNDS: u64 = 3000;

/// The TSC cycles of a fixed number of core cycles at the moment.
///
/// The TSC does not follow the frequency of the core, which changes with what else runs.
#[inline(never)]
pub fn yardstick() -> u64 {
    let begin = cycles();
    // SAFETY: changes only its own two registers.
    unsafe {
        asm!(
            "2:",
            "imul {product}, {product}",
            "imul {product}, {product}",
            "imul {product}, {product}",
            "imul {product}, {product}",
            "dec {rounds}",
            "jnz 2b",
            product = inout(reg) 3u64 => _,
            rounds = inout(reg) YARD_ROUNDS => _,
            options(nomem, nostack),
        );
    }
    cycles() - begin
}

/// An image behind its data pages.
pub struct Mapping<'a> {
    reserved: NonNull<c_void>,
    reserved_size: NonZeroUsize,
    data: NonNull<c_void>,
    code: NonNull<c_void>,
    code_size: usize,
    image: &'a Image,
}

impl<'a> Mapping<'a> {
    /// Maps `image` `shift` pages behind an aligned address.
    pub fn new(image: &'a Image, shift: usize) -> Result<Self> {
        let code_size = image.bytes.len().next_multiple_of(PAGE);
        let size = DATA_PAGES * PAGE + code_size;
        let reserved_size = NonZeroUsize::new(2 * ALIGNMENT).context("no alignment")?;
        ensure!(shift * PAGE + size <= ALIGNMENT, "the image is too large");
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: a new mapping, wherever the kernel finds room.
        let reserved = unsafe { mmap_anonymous(None, reserved_size, ProtFlags::PROT_NONE, flags) }
            .context("cannot reserve memory")?;
        let address = reserved.as_ptr() as usize;
        let offset = address.next_multiple_of(ALIGNMENT) - address + shift * PAGE;
        // SAFETY: `offset` is below the alignment plus the shift, and with `size` behind it still
        // inside the reserved two alignments.
        let (data, code) = unsafe {
            let data = reserved.byte_add(offset);
            (data, data.byte_add(DATA_PAGES * PAGE))
        };
        let mapping = Self { reserved, reserved_size, data, code, code_size, image };
        mapping.protect(mapping.data, size, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)?;
        // SAFETY: both are at least as long as the image, and new memory overlaps with nothing.
        unsafe {
            code.cast::<u8>()
                .copy_from_nonoverlapping(NonNull::from(&image.bytes[..]).cast(), image.bytes.len())
        };
        mapping.protect(code, code_size, ProtFlags::PROT_READ | ProtFlags::PROT_EXEC)?;
        Ok(mapping)
    }

    fn protect(&self, start: NonNull<c_void>, size: usize, protection: ProtFlags) -> Result<()> {
        // SAFETY: the callers give ranges inside the mapping, which nothing but the vDSO and this
        // type uses, and both only while the protection allows it.
        unsafe { mprotect(start, size, protection) }
            .with_context(|| format!("the system does not allow {protection:?} memory"))
    }

    /// Fills a data page.
    pub fn fill<T: Copy>(&self, page: usize, contents: &T) {
        const { assert!(size_of::<T>() <= PAGE) };
        assert!(page < DATA_PAGES);
        // SAFETY: the page is writable, aligned and large enough, and nothing reads it meanwhile.
        // Volatile, because only foreign code will read it.
        unsafe {
            let page = self.data.byte_add(page * PAGE);
            page.cast::<T>().write_volatile(*contents);
        }
    }

    /// Something that updates the data page while others read it.
    pub fn updater(&self, page: usize) -> Updater<'_> {
        assert!(page < DATA_PAGES);
        // SAFETY: inside the mapping.
        let page = unsafe { self.data.byte_add(page * PAGE) };
        Updater { page: page.cast(), lifetime: PhantomData }
    }

    /// The call that performs `read` and writes to `answer`.
    pub fn call<'b>(&'b self, read: Read, answer: &'b Answer) -> Result<Call<'b>> {
        let pointer = answer.value.get() as usize;
        let (name, arguments) = match read {
            Read::Clock(id) => ("__vdso_clock_gettime", (id, pointer)),
            Read::TimeOfDay => ("__vdso_gettimeofday", (pointer, 0)),
            Read::Time => ("__vdso_time", (pointer, 0)),
            Read::Resolution => ("__vdso_clock_getres", (MONOTONIC, pointer)),
        };
        let address = self.code.as_ptr() as usize + self.image.function(name)?;
        // SAFETY: the address of an exported function of the image. It follows the C calling
        // convention, its arguments and its result are in integer registers, and what it writes
        // is at most as large as the answer. The caller ignores the upper half of an `int`.
        let function = unsafe { std::mem::transmute::<usize, Function>(address) };
        Ok(Call { function, arguments, lifetime: PhantomData })
    }

    /// Evicts the data pages and the image from all caches and from the TLB.
    pub fn cool(&self) -> Result<()> {
        let lines = (0..DATA_PAGES * PAGE + self.code_size).step_by(CACHE_LINE);
        for line in lines {
            // SAFETY: the line is readable, and writing it back changes no contents.
            unsafe { _mm_clflush(self.data.byte_add(line).as_ptr().cast()) };
        }
        // SAFETY: only orders memory accesses.
        unsafe { _mm_mfence() };
        // Taking a right away makes the kernel flush the TLB; giving it back need not.
        let (read, write, execute) =
            (ProtFlags::PROT_READ, ProtFlags::PROT_WRITE, ProtFlags::PROT_EXEC);
        self.protect(self.data, DATA_PAGES * PAGE, read)?;
        self.protect(self.code, self.code_size, read)?;
        self.protect(self.data, DATA_PAGES * PAGE, read | write)?;
        self.protect(self.code, self.code_size, read | execute)
    }

    /// The number of instructions of the image that a call executes, counted one by one.
    ///
    /// The call runs in a child, so that this process survives one that crashes or never returns.
    pub fn count_instructions(&self, call: Call<'_>) -> Result<u32> {
        // SAFETY: this process has one thread, so that the child may do what it likes.
        match unsafe { fork() }.context("cannot fork")? {
            ForkResult::Child => {
                let status = match ptrace::traceme().and_then(|()| raise(Signal::SIGSTOP)) {
                    Ok(()) => {
                        call.call();
                        0
                    }
                    Err(_) => 1,
                };
                // SAFETY: ends the child without running the parent's exit handlers in it.
                unsafe { nix::libc::_exit(status) }
            }
            ForkResult::Parent { child } => {
                let image = self.code.as_ptr() as u64;
                let image = image..image + self.code_size as u64;
                let mut count = 0;
                loop {
                    match waitpid(child, None)? {
                        WaitStatus::Stopped(_, Signal::SIGSTOP) => {
                            ptrace::setoptions(child, ptrace::Options::PTRACE_O_EXITKILL)?;
                        }
                        WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                            count += u32::from(image.contains(&ptrace::getregs(child)?.rip));
                            if count == INSTRUCTION_LIMIT {
                                ptrace::kill(child)?;
                                bail!("the call never returns");
                            }
                        }
                        WaitStatus::Exited(_, 0) if count > 0 => return Ok(count),
                        WaitStatus::Stopped(_, signal) => {
                            ptrace::kill(child)?;
                            bail!("the call ends with {signal}");
                        }
                        _ => bail!("cannot single-step a call: allow ptrace"),
                    }
                    ptrace::step(child, None).context("cannot single-step a call")?;
                }
            }
        }
    }
}

/// Updates a data page, as the kernel does at a tick.
pub struct Updater<'a> {
    page: NonNull<u64>,
    lifetime: PhantomData<&'a Mapping<'a>>,
}

// SAFETY: the page stays mapped for the lifetime, and is written only a word at a time.
unsafe impl Send for Updater<'_> {}

impl Updater<'_> {
    /// Keeps the sequence counters odd while anything else changes.
    pub fn update(&self, contents: &TimeData) {
        const WORDS: usize = size_of::<TimeData>() / size_of::<u64>();
        // SAFETY: plain old data without padding.
        let words = unsafe { std::mem::transmute::<TimeData, [u64; WORDS]>(*contents) };
        self.count();
        fence(Ordering::Release);
        for (index, word) in words.into_iter().enumerate() {
            // SAFETY: the page is writable, and only foreign code reads it.
            unsafe {
                let to = self.page.add(index);
                if index % CLOCK_WORDS == 0 && index / CLOCK_WORDS < CLOCKS {
                    to.cast::<u32>().add(1).write_volatile((word >> 32) as u32);
                } else {
                    to.write_volatile(word);
                }
            }
        }
        fence(Ordering::Release);
        self.count();
    }

    fn count(&self) {
        for clock in 0..CLOCKS {
            // SAFETY: in the page, aligned, and changed by nobody else.
            let sequence = unsafe {
                let word = self.page.add(clock * CLOCK_WORDS);
                AtomicU32::from_ptr(word.as_ptr().cast())
            };
            sequence.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Mapping<'_> {
    fn drop(&mut self) {
        // SAFETY: the whole of a mapping that nothing uses any more. Failing leaks it at worst.
        let _ = unsafe { munmap(self.reserved, self.reserved_size.get()) };
    }
}
