// The stub's few pieces that C cannot say.

  .text
  .global _start, stub_restorer, stub_return, stub_clone, stub_exit, stub_switch_stack, stub_first_trap
  .global stub_copy, stub_copy_end

_start:
  mov %rsp, %rdi
  and $-16, %rsp
  call zygote_start
  hlt

stub_restorer:
  mov $15, %eax
  syscall
  hlt

// rt_sigreturn finds the frame just above the return address that the handler would have popped.
stub_return:
  mov %rdi, %rsp
  mov $15, %eax
  syscall
  hlt

// rdi flags, rsi stack, rdx clear_tid, rcx tls, r8 entry, r9 frame
stub_clone:
  sub $16, %rsi
  mov %r8, (%rsi)
  mov %r9, 8(%rsi)
  mov %rdx, %r10
  mov %rcx, %r8
  xor %edx, %edx
  mov $56, %eax
  syscall
  test %rax, %rax
  jz 1f
  ret
1:
  xor %ebp, %ebp
  pop %rax
  pop %rdi
  call *%rax
  hlt

stub_exit:
  mov %esi, (%rdi)
  xor %edi, %edi
  mov $60, %eax
  syscall
  hlt

stub_switch_stack:
  mov %rdi, %rsp
  xor %ebp, %ebp
  call zygote_run
  hlt

stub_first_trap:
  xor %esp, %esp
  xor %ebp, %ebp
  mov $39, %eax
  syscall
  hlt

// rdi to, rsi from, rdx size. A fault of the copy goes on after it, with the rest still in rcx.
stub_copy:
  mov %rdx, %rcx
  rep movsb
stub_copy_end:
  mov %rdx, %rax
  sub %rcx, %rax
  ret

  .section .note.GNU-stack, "", @progbits
