/* The guest that QEMU migrates beside ours: a multiboot kernel that dirties pages and beats.

   Words on its command line: pages dirtied per tick of a millisecond, and pages of the set. The set
   lies at 4 MiB. Every 5 ms a byte goes to the first serial port: a count of seven bits, and the
   eighth as soon as a page of the set was not as this guest left it, which is what lost or old
   pages look like. Between ticks it halts, so an idle guest leaves the processor alone. */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

#define SET_AT 0x00400000u
#define PAGE 4096u
#define BEAT_TICKS 5u
#define PIT_HZ 1193182u
#define TICK_HZ 1000u
#define TIMER_VECTOR 0x20u

__attribute__((section(".multiboot"), used)) static const u32 multiboot[] = {
    0x1BADB002u, 0u, 0u - 0x1BADB002u};

struct boot_words {
  u32 flags, mem_lower, mem_upper, boot_device, command_line;
};

static u8 stack[16384] __attribute__((aligned(16), used));
static struct { u16 low, segment, kind, high; } gates[256] __attribute__((aligned(8)));
static volatile u32 ticks;

static inline void out8(u16 port, u8 value) {
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

__asm__(
    ".global _start\n"
    "_start: cli\n  mov $stack + 16384, %esp\n  push %ebx\n  call run\n"
    "gdt: .quad 0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF\n"
    "gdt_words: .word 23\n .long gdt\n"
    ".global enter_segments\n"
    "enter_segments: lgdt gdt_words\n  ljmp $8, $1f\n"
    "1: mov $16, %ax\n  mov %ax, %ds\n  mov %ax, %es\n  mov %ax, %ss\n  ret\n"
    ".global on_timer\n"
    "on_timer: push %eax\n  incl ticks\n  mov $0x20, %al\n  outb %al, $0x20\n"
    "  pop %eax\n  iret\n");

void enter_segments(void);
void on_timer(void);

static u32 number(const char **text) {
  u32 value = 0;
  while (**text && (**text < '0' || **text > '9')) ++*text;
  while (**text >= '0' && **text <= '9') value = value * 10 + (u32)(*(*text)++ - '0');
  return value;
}

static void start_timer(void) {
  const u32 at = (u32)on_timer;
  gates[TIMER_VECTOR].low = (u16)at;
  gates[TIMER_VECTOR].segment = 8;
  gates[TIMER_VECTOR].kind = 0x8E00;
  gates[TIMER_VECTOR].high = (u16)(at >> 16);
  struct __attribute__((packed)) { u16 limit; u32 base; } words = {sizeof gates - 1, (u32)gates};
  __asm__ volatile("lidt %0" : : "m"(words));
  out8(0x20, 0x11), out8(0xA0, 0x11);         /* both interrupt controllers: begin */
  out8(0x21, TIMER_VECTOR), out8(0xA1, 0x28); /* where their vectors start */
  out8(0x21, 4), out8(0xA1, 2);               /* how they are joined */
  out8(0x21, 1), out8(0xA1, 1);
  out8(0x21, 0xFE), out8(0xA1, 0xFF);         /* the timer alone may interrupt */
  out8(0x43, 0x34);
  out8(0x40, (u8)(PIT_HZ / TICK_HZ)), out8(0x40, (u8)((PIT_HZ / TICK_HZ) >> 8));
  __asm__ volatile("sti");
}

void run(const struct boot_words *boot) {
  const char *words = boot->flags & 4 ? (const char *)boot->command_line : "";
  while (*words && *words != ' ') ++words; /* the first word is the kernel's own name */
  const u32 per_tick = number(&words), pages = number(&words);
  volatile u32 *set = (volatile u32 *)SET_AT;
  u32 page = 0, sweep = 1, seen = 0, beats = 0;
  u8 lost = 0;

  for (u32 i = 0; i < pages; ++i) set[i * (PAGE / 4)] = 0;
  enter_segments();
  start_timer();
  for (;;) {
    __asm__ volatile("hlt");
    while (seen != ticks) {
      ++seen;
      for (u32 i = 0; i < per_tick && pages; ++i) {
        volatile u32 *word = set + page * (PAGE / 4);
        if (*word != sweep - 1) lost = 0x80;
        *word = sweep;
        if (++page == pages) page = 0, ++sweep;
      }
      if (seen % BEAT_TICKS == 0) out8(0x3F8, (u8)(beats++ & 0x7F) | lost);
    }
  }
}
