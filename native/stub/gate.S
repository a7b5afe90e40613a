// The gate of rewritten system calls. eax is the call, rcx the address behind it, as the processor would leave it
// there; r11 is free, all else belongs to the program.

#include "gate.h"

// Load the saved registers and go on at the saved rcx.
  .macro put_back
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  pop %r9
  pop %r8
  pop %r10
  pop %rdx
  pop %rsi
  pop %rdi
  pop %rax
  pop %r11
  pop %rcx
  popfq
  mov %gs:GATE_RSP, %rsp
  jmp *%rcx
  .endm

  .text
  .global gate_entry, gate_switched, gate_exit, gate_end, gate_stop

gate_entry:
  mov %rsp, %gs:GATE_RSP
  mov %gs:GATE_STACK, %rsp
gate_switched:
  pushfq
  cld
  push %rcx
  push %r11
  push %rax
  push %rdi
  push %rsi
  push %rdx
  push %r10
  push %r8
  push %r9
  push %rbx
  push %rbp
  push %r12
  push %r13
  push %r14
  push %r15
  movq $0, %gs:GATE_INTERRUPTED
  // r11 holds the flags after a system call.
  mov 120(%rsp), %rax
  mov %rax, 104(%rsp)
  // The end of the thread's block, where struct Gate lies.
  rdgsbase %rdi
  xor %ebp, %ebp
  call gate_serve
  test %eax, %eax
  jnz gate_trap

// From here on, an interrupt finds the program's state in the saved registers.
gate_exit:
  cmpq $0, %gs:GATE_INTERRUPTED
  jne 1f
  put_back
gate_end:

1:
  lea gate_stop(%rip), %r11
  jmp 2f

// The saved rax is still the call: execute it where it traps.
gate_trap:
  mov %gs:GATE_TARGET, %r11
2:
  mov 112(%rsp), %rax
  mov %rax, %gs:GATE_RET
  mov %r11, 112(%rsp)
  put_back

gate_stop:
  ud2

  .section .note.GNU-stack, "", @progbits
