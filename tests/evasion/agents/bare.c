/* A program of nothing but two system calls: creat("mark"), exit. Built for 64 and for 32 bits. */
void _start(void)
{
#ifdef __x86_64__
	long ret;
	__asm__ volatile("syscall" : "=a"(ret) : "a"(85L), "D"("mark"), "S"(0600L) : "rcx", "r11", "memory");
	__asm__ volatile("syscall" : : "a"(231L), "D"(ret < 0 ? -ret : 0) : "rcx", "r11", "memory");
#else
	int ret;
	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(8), "b"("mark"), "c"(0600) : "memory");
	__asm__ volatile("int $0x80" : : "a"(252), "b"(ret < 0 ? -ret : 0) : "memory");
#endif
	for (;;)
		;
}
