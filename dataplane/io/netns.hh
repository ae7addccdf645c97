// NetnsScope: the calling thread stands in another network namespace for as long as the object lives.
// A socket or TUN opened inside keeps belonging to that namespace after the thread has returned.
#pragma once

#include <string>
#include <string_view>

#include "dataplane/io/fd.hh"

namespace qanat::io {

// `name` is a name under /run/netns or an absolute path; empty means the thread's own (nothing happens).
// Throws std::system_error naming the namespace.
class NetnsScope {
 public:
  explicit NetnsScope(std::string_view name);
  ~NetnsScope();
  NetnsScope(const NetnsScope&) = delete;
  NetnsScope& operator=(const NetnsScope&) = delete;

 private:
  Fd home_;
};

std::string netns_path(std::string_view name);

}  // namespace qanat::io
