// The parts of a fork of runsc into the processes of a sandbox: fork.cc puts them together.
#pragma once

#include <sys/epoll.h>
#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

namespace portcullis::fork {

/// Descriptors below belong to the caller or have fixed numbers in a forked process; those above are Node's.
constexpr int kAboveFixed = 64;

// --- fork-threads.cc

/// Where glibc keeps the id of the thread with this thread pointer. Valid once threads were parked.
int* TidAddress(void* tls);
/// Park all other threads where they wait for work: their number, or -errno.
int ParkThreads();
void UnparkThreads();
/// In a forked process: make the threads that its original had. Nothing of V8 may run before: it would wait for them.
/// They begin with all signals blocked, as in the handler where they go on: a further handler would have no room on the
/// smallest of their stacks. Their own masks come back when they leave it. `keep_ids` is for another pid namespace: threads of V8
/// that have asked for their ids remember them, and tell by them who holds a lock. An id that one remembers must not be
/// another one's.
bool MakeThreads(bool keep_ids);
/// Enter a network namespace with all threads that were made.
bool FollowIntoNetwork(int fd);

// --- fork-descriptors.cc

/// A descriptor that Node has for its own use, and what a copy of the process has in its place.
struct Own {
  enum Kind { kClosed, kEvent, kPoll, kPipe } kind;
  int fd;
  /// The other end of a pipe, which is its writing end.
  int other = -1;
  /// Bytes that wait in the pipe, or the event's count.
  unsigned waiting = 0;
  struct Watched {
    int fd;
    epoll_event event;
  };
  std::vector<Watched> watched;
};

/// All descriptors of this process beyond the standard streams; whether it can be forked with them.
std::vector<Own> ListDescriptors(bool* usable);
/// Give this copy of the process descriptors of its own; `kept` stay.
bool ReplaceDescriptors(const std::vector<Own>& list, const std::vector<int>& kept);

// --- fork-orders.cc

struct Orders {
  std::vector<int> fds;
  std::string text;
};

/// Wait for all messages of one order. False when the peer is gone.
bool Receive(int socket, Orders* orders);
/// Puts the first `count` descriptors of the orders to 0, 1, ...; without close-on-exec. What else was kept free for them is
/// closed.
bool Place(Orders* orders, size_t count);

}  // namespace portcullis::fork
