#include "base/readiness.hh"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace qanat::base {
namespace asio = boost::asio;
namespace {

int open_poll() {
  const int fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "create an epoll set");
  return fd;
}

}  // namespace

asio::execution_context::id Readiness::id;

Readiness::Readiness(asio::execution_context& io)
    : service(io), poll_(static_cast<asio::io_context&>(io), open_poll()) {}

Readiness::~Readiness() = default;

Readiness& Readiness::of(asio::execution_context& io) { return asio::use_service<Readiness>(io); }

void Readiness::add(Member& member) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &member;
  if (::epoll_ctl(poll_.native_handle(), EPOLL_CTL_ADD, member.fd, &event) != 0)
    throw std::system_error(errno, std::generic_category(), "watch a socket");
  members_.insert(&member);
}

void Readiness::remove(Member& member) {
  if (members_.erase(&member) == 0) return;
  std::replace(batch_.begin(), batch_.begin() + static_cast<std::ptrdiff_t>(batched_), &member,
               static_cast<Member*>(nullptr));
  if (poll_.is_open()) ::epoll_ctl(poll_.native_handle(), EPOLL_CTL_DEL, member.fd, nullptr);
}

void Readiness::hold() {
  ++waits_;
  listen();
}

void Readiness::release() {
  if (--waits_ > 0 || dispatching_ || !listening_) return;
  boost::system::error_code ignored;
  poll_.cancel(ignored);
}

void Readiness::shutdown() {
  boost::system::error_code ignored;
  poll_.close(ignored);
  while (!members_.empty()) {  // one's coroutine may own others
    Member* const member = *members_.begin();
    members_.erase(members_.begin());
    member->abandon();
  }
}

void Readiness::listen() {
  if (listening_ || dispatching_ || waits_ == 0 || !poll_.is_open()) return;
  listening_ = true;
  poll_.async_wait(asio::posix::descriptor_base::wait_read, [this](const boost::system::error_code& ec) {
    listening_ = false;
    if (!ec) dispatch();
    listen();
  });
}

void Readiness::dispatch() {
  std::array<epoll_event, kBatch> events;
  const int ready = ::epoll_wait(poll_.native_handle(), events.data(), kBatch, 0);
  if (ready <= 0) return;
  dispatching_ = true;
  const struct Done {
    Readiness& self;
    ~Done() { self.batched_ = 0, self.dispatching_ = false; }
  } done{*this};
  batched_ = static_cast<std::size_t>(ready);
  for (std::size_t i = 0; i < batched_; ++i) batch_[i] = static_cast<Member*>(events[i].data.ptr);
  for (std::size_t i = 0; i < batched_; ++i) {
    Member* const member = batch_[i];
    if (member == nullptr) continue;
    const auto happened = events[i].events;
    if (happened & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) member->ended = true;
    if (happened & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) member->readable = true;
    if (happened & (EPOLLOUT | EPOLLHUP | EPOLLERR)) member->writable = true;
    member->on_ready();
  }
}

}  // namespace qanat::base
