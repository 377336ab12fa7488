// Runs the stub of arm64 once, with known registers, and writes what they are afterwards.
// The stub lies at 0x400000 and comes back to 0x400800 (test_arm64_stub.py).
	.text
stub:	.incbin "stub.bin"
	.globl _start
_start:
	sub	sp, sp, #4096
	ldr	x0, =FLAGS
	msr	nzcv, x0
	adr	x30, values
	ldp	x0, x1, [x30, #0]
	ldp	x2, x3, [x30, #16]
	ldp	x4, x5, [x30, #32]
	ldp	x6, x7, [x30, #48]
	ldp	x8, x9, [x30, #64]
	ldp	x10, x11, [x30, #80]
	ldp	x12, x13, [x30, #96]
	ldp	x14, x15, [x30, #112]
	ldp	x16, x17, [x30, #128]
	ldp	x18, x19, [x30, #144]
	ldp	x20, x21, [x30, #160]
	ldp	x22, x23, [x30, #176]
	ldp	x24, x25, [x30, #192]
	ldp	x26, x27, [x30, #208]
	ldp	x28, x29, [x30, #224]
	ldr	x30, [x30, #240]
	b	stub + START
	.ltorg
values:
	.incbin "values.bin"

	.org	0x800
	stp	x0, x1, [sp, #0]
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x19, [sp, #144]
	stp	x20, x21, [sp, #160]
	stp	x22, x23, [sp, #176]
	stp	x24, x25, [sp, #192]
	stp	x26, x27, [sp, #208]
	stp	x28, x29, [sp, #224]
	mrs	x0, nzcv
	stp	x30, x0, [sp, #240]
	mov	x0, #0			// rt_sigprocmask(SIG_BLOCK, NULL, sp + 256, 8): which are blocked?
	mov	x1, #0
	add	x2, sp, #256
	mov	x3, #8
	mov	x8, #135
	svc	#0
	mov	x0, #1			// write(1, sp, 264)
	mov	x1, sp
	mov	x2, #264
	mov	x8, #64
	svc	#0
	mov	x0, #0			// exit of this thread alone: the process lives until the helper has ended
	mov	x8, #93
	svc	#0
