// Clocks, timers, and the flags of timerfd, eventfd and friends.

// Clocks.
export const CLOCK_REALTIME = 0
export const CLOCK_MONOTONIC = 1
export const CLOCK_PROCESS_CPUTIME_ID = 2
export const CLOCK_THREAD_CPUTIME_ID = 3
export const CLOCK_MONOTONIC_RAW = 4
export const CLOCK_REALTIME_COARSE = 5
export const CLOCK_MONOTONIC_COARSE = 6
export const CLOCK_BOOTTIME = 7
export const CLOCK_REALTIME_ALARM = 8
export const CLOCK_BOOTTIME_ALARM = 9
export const CLOCK_TAI = 11

// A negative clock id names a process or thread: ~pid << 3 | kind.
export const CPUCLOCK_PERTHREAD_MASK = 4
export const CPUCLOCK_CLOCK_MASK = 3
export const CPUCLOCK_PROF = 0
export const CPUCLOCK_VIRT = 1
export const CPUCLOCK_SCHED = 2
export const CLOCKFD = 3

// Timers.
export const TIMER_ABSTIME = 1
export const ITIMER_REAL = 0
export const ITIMER_VIRTUAL = 1
export const ITIMER_PROF = 2
export const TFD_TIMER_ABSTIME = 1
export const TFD_TIMER_CANCEL_ON_SET = 2
export const TFD_CLOEXEC = 0o2000000
export const TFD_NONBLOCK = 0o4000

// Units.
export const NSEC_PER_SEC = 1000000000
export const NSEC_PER_USEC = 1000
export const USEC_PER_SEC = 1000000
export const USER_HZ = 100

// adjtimex(2).
export const ADJ_OFFSET = 0x1
export const ADJ_FREQUENCY = 0x2
export const ADJ_MAXERROR = 0x4
export const ADJ_ESTERROR = 0x8
export const ADJ_STATUS = 0x10
export const ADJ_TIMECONST = 0x20
export const ADJ_TAI = 0x80
export const ADJ_SETOFFSET = 0x100
export const ADJ_MICRO = 0x1000
export const ADJ_NANO = 0x2000
export const ADJ_TICK = 0x4000
export const ADJ_OFFSET_SINGLESHOT = 0x8001
export const ADJ_OFFSET_SS_READ = 0xa001
export const STA_PLL = 0x1
export const STA_UNSYNC = 0x40
export const STA_NANO = 0x2000
export const TIME_OK = 0
export const TIME_ERROR = 5
