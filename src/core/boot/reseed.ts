/**
 * What the kernel draws random numbers from is the same in all machines that go on from one snapshot, and what is written to /dev/urandom
 * counts only when it starts anew, up to a minute later. Only two calls make that at once (random(4): RNDADDENTROPY with credit, then
 * RNDRESEEDCRNG), no program of busybox makes them, and Debian's cloud kernel has no VMGENID. Assembled by GNU as from:
 *
 *       lea rdi, [rip + path]; push 1; pop rsi; push 2; pop rax; syscall; mov r12, rax      open("/dev/random", O_WRONLY)
 *       sub rsp, 128; mov rbx, rsp
 *       xor edi, edi; lea rsi, [rbx + 8]; push 64; pop rdx; xor eax, eax; syscall           read(0, info.buf, 64)
 *       cmp eax, 64; jne fail
 *       mov dword ptr [rbx], 512; mov dword ptr [rbx + 4], 64                               info.entropy_count, info.buf_size
 *       mov rdi, r12; mov esi, 0x40085203; mov rdx, rbx; push 16; pop rax; syscall          ioctl(RNDADDENTROPY, info)
 *       test eax, eax; jnz fail
 *       mov rdi, r12; mov esi, 0x5207; xor edx, edx; push 16; pop rax; syscall              ioctl(RNDRESEEDCRNG)
 *       test eax, eax; jnz fail
 *       xor edi, edi; jmp end
 *     fail: push 1; pop rdi
 *     end:  push 60; pop rax; syscall                                                       exit
 *     path: .asciz "/dev/random"
 */
const CODE =
  "488d3d670000006a015e6a02580f054989c44881ec800000004889e331ff488d" +
  "73086a405a31c00f0583f8407538c70300020000c7430440000000" +
  "4c89e7be035208404889da6a10580f0585c075174c89e7be0752000031d26a10" +
  "580f0585c0750431ffeb036a015f6a3c580f052f6465762f72616e646f6d00";

/** Bytes that it wants on its standard input. */
export const RESEED_BYTES = 64;

const LOADED_AT = 0x400000;
const HEADERS = 0x78;

/** A program for x86-64 of one loaded segment: ELF header, program header, code. */
export function reseedProgram(): Uint8Array {
  const code = Uint8Array.from(CODE.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  const bytes = new Uint8Array(HEADERS + code.length);
  const view = new DataView(bytes.buffer);
  const put64 = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // ELF, 64 bits, little-endian
  view.setUint16(0x10, 2, true); // executable
  view.setUint16(0x12, 62, true); // x86-64
  view.setUint32(0x14, 1, true);
  put64(0x18, LOADED_AT + HEADERS); // entry
  put64(0x20, 0x40); // program headers
  view.setUint16(0x34, 0x40, true);
  view.setUint16(0x36, 0x38, true);
  view.setUint16(0x38, 1, true);
  view.setUint32(0x40, 1, true); // to be loaded
  view.setUint32(0x44, 5, true); // readable, executable
  put64(0x50, LOADED_AT);
  put64(0x58, LOADED_AT);
  put64(0x60, bytes.length);
  put64(0x68, bytes.length);
  put64(0x70, 0x1000);
  bytes.set(code, HEADERS);
  return bytes;
}
