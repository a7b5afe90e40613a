// What Go's runtime asks of a kernel: threads, futexes, timers, signals, pipes and a network poller.
package main

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"
)

func sum() int {
	var group sync.WaitGroup
	var lock sync.Mutex
	total := 0
	for i := 1; i <= 1000; i++ {
		group.Add(1)
		go func(n int) {
			defer group.Done()
			time.Sleep(time.Duration(n%7) * time.Millisecond)
			lock.Lock()
			total += n
			lock.Unlock()
		}(i)
	}
	group.Wait()
	return total
}

func channels() int {
	c := make(chan int, 8)
	for i := 0; i < 100; i++ {
		go func() {
			for j := 0; j < 10000; j++ {
				c <- 1
			}
		}()
	}
	n := 0
	for n < 1000000 {
		n += <-c
	}
	return n
}

func timers() int {
	n := 0
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	// Preempted by a signal, since it never yields by itself.
	go func() {
		for {
		}
	}()
	for range ticker.C {
		n++
		if n == 100 {
			break
		}
	}
	return n
}

func caught() (text string) {
	defer func() {
		if recover() != nil {
			text = "caught"
		}
	}()
	var nothing *int
	*nothing = 1
	return "not caught"
}

func main() {
	out, err := exec.Command("echo", "hi").Output()
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println("goroutines", sum(), "channels", channels(), "timers", timers(), "exec", strings.TrimSpace(string(out)), "panic", caught())
}
