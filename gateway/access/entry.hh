// Entry: the addresses of one open service, listened on: programs that only know DNS arrive here and are carried to a
// backend, whatever its address family.
#pragma once

#include <memory>

#include "gateway/access/dialer.hh"
#include "gateway/access/service.hh"

namespace qanat::access {

class Entry {
 public:
  static constexpr std::size_t kMaxFlows = 4096;  // of UDP clients at once; beyond, new ones are dropped

  // Listens on the service's IPv4 and IPv6 address; throws std::system_error when neither can be had.
  Entry(boost::asio::io_context& io, const Service& service, Dialer& dialer);
  ~Entry();
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;
  // Backends moved: flows stay where they are while their backend lives.
  void update(const Service& service);

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace qanat::access
