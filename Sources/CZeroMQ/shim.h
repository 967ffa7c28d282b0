// libzmq, and the two system calls beside it that Swift's Glibc module does not carry.
#pragma once

#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <zmq.h>

// zmq.h of 4.3.4 declares this option among its drafts; the library has it in every build.
#ifndef ZMQ_ZAP_ENFORCE_DOMAIN
#define ZMQ_ZAP_ENFORCE_DOMAIN 93
#endif

static inline int rookery_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

// Names the calling thread; the kernel keeps the first 15 bytes.
static inline void rookery_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }
