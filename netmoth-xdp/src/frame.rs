//! The frame in the two ways in which the kernel's verifier lets it be read.
//!
//! [`Frame`] reads in place, every access compared with `data_end` first. That adds variable offsets to packet pointers,
//! which the verifier grants to CAP_PERFMON alone (Spectre, variant 1). [`Copied`] asks the kernel for each field
//! instead: slower, and CAP_BPF is enough.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::bpf_xdp_load_bytes;
use aya_ebpf::programs::XdpContext;
use netmoth_shared::walk::Bytes;

/// How far a header may begin: far enough for 40 bytes of IPv6, four tags and extension headers of kilobytes, and a
/// bound from which the verifier sees that offsets don't overflow.
const REACH: usize = 4_096;

/// The linear part of a frame.
pub struct Frame {
    data: usize,
    end: usize,
}

impl Frame {
    /// The frame that the program was called for.
    #[inline(always)]
    pub fn of(ctx: &XdpContext) -> Self {
        Self { data: ctx.data(), end: ctx.data_end() }
    }

    #[inline(always)]
    fn read<T: Copy>(&self, at: usize) -> Option<T> {
        if at > REACH {
            return None;
        }
        let start = self.data + at;
        if start + size_of::<T>() > self.end {
            return None;
        }
        // SAFETY: start .. start + size_of::<T>() lies between data and data_end; T is an integer, any bytes are valid.
        Some(unsafe { (start as *const T).read_unaligned() })
    }
}

impl Bytes for Frame {
    #[inline(always)]
    fn u16(&self, at: usize) -> Option<u16> {
        self.read(at).map(u16::from_be)
    }
    #[inline(always)]
    fn u32(&self, at: usize) -> Option<u32> {
        self.read(at).map(u32::from_be)
    }
    #[inline(always)]
    fn u64(&self, at: usize) -> Option<u64> {
        self.read(at).map(u64::from_be)
    }
}

/// The frame by way of the helper `bpf_xdp_load_bytes` (kernels from 5.18).
///
/// What lies behind its end reads as 0, so that there is no value which some path leaves unset: without CAP_PERFMON the
/// verifier refuses to spill those. A frame that ends inside its headers may so be steered to another socket than in
/// place; it is one of the queue's all the same.
pub struct Copied<'a>(pub &'a XdpContext);

impl Copied<'_> {
    #[inline(always)]
    fn read<T: Copy + Default>(&self, at: usize) -> Option<T> {
        let mut value = T::default();
        let size = size_of::<T>() as u32;
        // SAFETY: the helper checks offset and length against the frame and writes `size` bytes to a live T, an integer.
        unsafe { bpf_xdp_load_bytes(self.0.as_ptr().cast(), at as u32, (&raw mut value).cast(), size) };
        Some(value)
    }
}

impl Bytes for Copied<'_> {
    #[inline(always)]
    fn u16(&self, at: usize) -> Option<u16> {
        self.read(at).map(u16::from_be)
    }
    #[inline(always)]
    fn u32(&self, at: usize) -> Option<u32> {
        self.read(at).map(u32::from_be)
    }
    #[inline(always)]
    fn u64(&self, at: usize) -> Option<u64> {
        self.read(at).map(u64::from_be)
    }
}
