// Overload: bulk datagrams through the overlay, faster than its links carry, and threads that want the processors.
#pragma once

#include <list>
#include <string>
#include <thread>

#include "base/time.hh"
#include "tools/lab/state.hh"

namespace qanat::chaos {

class Load {
 public:
  ~Load();  // waits for all of it
  // From one host of a tenant to another's address, as bulk traffic.
  void flood(const lab::HostState& from, const lab::HostState& to, std::uint64_t bits_per_second,
             base::Duration lasts);
  void burn(int threads, base::Duration lasts);

 private:
  std::list<std::thread> threads_;
};

}  // namespace qanat::chaos
