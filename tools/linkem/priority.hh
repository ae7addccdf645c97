// Priority: how the packets' thread gets the processor in time without being able to keep it from others.
#pragma once

namespace qanat::linkem {

// Ordinary scheduling, with more weight (nice −10) and a short slice (0.1 ms, Linux 6.12): among ordinary tasks the
// kernel then serves this thread first when it wakes, and two busy emulators still share a machine with what they
// carry. Real-time scheduling would hold the same times and starve the rest. Without the right to it nothing
// changes. Threads and processes started afterwards are ordinary again.
void run_ahead();

}  // namespace qanat::linkem
