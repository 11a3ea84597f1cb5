//! AMX tiles: leave to use them, and the product of two packed panels.
//!
//! Rust has no stable intrinsics for them, so the instructions are written out. Tiles 0 to 3 hold the sums of a
//! 32 × 32 block, 4 and 5 the left panel, 6 and 7 the right panel.

use std::arch::asm;

use super::pack::Line;

/// What `ldtilecfg` reads (Intel's manual, volume 1, 18.3): palette 1, eight tiles of 16 rows by 64 bytes.
#[repr(C, align(64))]
struct TileConfig([u8; 64]);

static CONFIG: TileConfig = {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = 64;
        bytes[48 + tile] = 16;
        tile += 1;
    }
    TileConfig(bytes)
};

/// Whether the CPU has tiles of bf16 and the operating system lets this process use them; asks for it (Linux gives
/// the tiles' registers only to processes that do, for all of their threads).
#[cfg(target_os = "linux")]
pub(super) fn is_granted() -> bool {
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const TILE_DATA: usize = 18;
    let has_leaf = std::arch::x86_64::__cpuid(0).eax >= 7;
    let features = if has_leaf { std::arch::x86_64::__cpuid_count(7, 0).edx } else { 0 };
    let (bf16, tiles) = (features >> 22 & 1, features >> 24 & 1);
    if bf16 == 0 || tiles == 0 {
        return false;
    }
    let answer: isize;
    // SAFETY: a system call without pointers; it changes rcx, r11 and its result alone.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") TILE_DATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

/// How other systems grant tiles is not known here.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_granted() -> bool {
    false
}

/// Runs `work` with this thread's tiles set up, and gives them back.
///
/// # Safety
/// The process has leave to use tiles ([`is_granted`]), and `work` stays on this thread.
pub(super) unsafe fn with_tiles(work: impl FnOnce()) {
    // SAFETY: the caller's promise; the configuration is 64 bytes long and valid.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIG, options(nostack, readonly)) };
    work();
    // SAFETY: as above.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// `c = a · bᵀ` of two panels, 32 × 32, or with `add` `c += a · bᵀ`.
///
/// # Safety
/// Runs inside [`with_tiles`]; `a` and `b` hold as many lines; `c` is the first element of 32 rows of 32 numbers,
/// `stride` elements apart, that this call alone touches.
pub(super) unsafe fn multiply(a: &[Line], b: &[Line], c: *mut f32, stride: usize, add: bool) {
    debug_assert!(a.len() == b.len() && a.len() >= 32);
    let row = stride * size_of::<f32>();
    // SAFETY: each step reads 2 KiB of both panels; the destination is the caller's promise.
    unsafe {
        asm!(
            "test {add:e}, {add:e}",
            "jnz 2f",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "jmp 3f",
            "2:",
            "tileloadd tmm0, [{top} + {row}]",
            "tileloadd tmm1, [{top} + {row} + 64]",
            "tileloadd tmm2, [{bottom} + {row}]",
            "tileloadd tmm3, [{bottom} + {row} + 64]",
            "3:",
            "tileloadd tmm6, [{b} + {line}]",
            "tileloadd tmm4, [{a} + {line}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {line} + 1024]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{a} + {line} + 1024]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a}, 2048",
            "add {b}, 2048",
            "dec {steps}",
            "jnz 3b",
            "tilestored [{top} + {row}], tmm0",
            "tilestored [{top} + {row} + 64], tmm1",
            "tilestored [{bottom} + {row}], tmm2",
            "tilestored [{bottom} + {row} + 64], tmm3",
            add = in(reg) u32::from(add),
            a = inout(reg) a.as_ptr() => _,
            b = inout(reg) b.as_ptr() => _,
            steps = inout(reg) a.len() / 32 => _,
            top = in(reg) c,
            bottom = in(reg) c.wrapping_add(16 * stride),
            row = in(reg) row,
            line = in(reg) size_of::<Line>(),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
