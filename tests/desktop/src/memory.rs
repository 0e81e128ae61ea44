//! What a process has in memory, and whose that is.

/// Memory of a process, in kibibytes, as proc(5) tells it of each mapping (`/proc/pid/smaps`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident: its own pages, and whole those that it shares, such as the code of WebKit.
    pub resident: u64,
    /// Of these, its share where several processes have a page (`Pss`).
    pub share: u64,
    /// Of the resident ones, those of Mesa's software renderer with the compiler that it is built on, which draws by OpenGL
    /// where no GPU does.
    pub rasteriser: u64,
}

/// The files of Mesa's software renderer: itself, by its older and its newer name, LLVM, and the solver that LLVM is linked
/// with.
const RASTERISER: [&str; 4] = ["/swrast_dri", "/libgallium", "/libLLVM", "/libz3"];

impl Memory {
    /// Reads all of `smaps`.
    pub fn of(smaps: &str) -> Self {
        let mut memory = Self::default();
        let mut in_rasteriser = false;
        for line in smaps.lines() {
            let kibibytes = |line: &str| line.trim().trim_end_matches(" kB").parse().unwrap_or(0);
            if let Some(size) = line.strip_prefix("Rss:") {
                memory.resident += kibibytes(size);
                if in_rasteriser {
                    memory.rasteriser += kibibytes(size);
                }
            } else if let Some(size) = line.strip_prefix("Pss:") {
                memory.share += kibibytes(size);
            } else if line.split(' ').next().is_some_and(|word| word.contains('-')) {
                // A mapping's first line begins with its addresses, and ends with its file.
                in_rasteriser = RASTERISER.iter().any(|file| line.contains(file));
            }
        }
        memory
    }

    /// The larger of each.
    pub fn most(self, other: Self) -> Self {
        Self {
            resident: self.resident.max(other.resident),
            share: self.share.max(other.share),
            rasteriser: self.rasteriser.max(other.rasteriser),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_by_mapping() {
        let smaps = "\
            5563a0000000-5563a1000000 r-xp 00000000 fe:00 12  /usr/bin/fieldkey-app\n\
            Size:              16384 kB\n\
            Rss:                1000 kB\n\
            Pss:                1000 kB\n\
            Pss_Dirty:            10 kB\n\
            7f0000000000-7f0001000000 r-xp 00000000 fe:00 13  /usr/lib/x86_64-linux-gnu/libLLVM-15.so.1\n\
            Rss:                 400 kB\n\
            Pss:                 100 kB\n\
            VmFlags: rd ex mr mw me\n\
            7f0002000000-7f0002001000 rw-p 00000000 00:00 0\n\
            Rss:                   4 kB\n\
            Pss:                   4 kB\n";
        let memory = Memory::of(smaps);
        assert_eq!(
            (memory.resident, memory.share, memory.rasteriser),
            (1404, 1104, 400)
        );
    }
}
