// Client: compute by name from a C++ program: what a C-URL finds, a chat that streams, a connected socket to any service.
// Blocking, without a loop or threads of its own, so that it fits into whatever program is there (example.cc). Functions may
// be called from several threads at once.
#pragma once

#include <boost/system/result.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qanat::client {

// Where the tenant's gateway is, and who asks.
struct Access {
  std::string api;    // "http://100.96.1.1:8080"
  std::string proxy;  // "100.96.1.1:1080", of its [access]; for dial
  std::string key;    // "sk-qanat-…", or an identity provider's token
  std::chrono::milliseconds connect_within{3000};
  std::chrono::milliseconds silence{60'000};  // an answer that stops for so long has broken off
  // Of an api "https://…": PEM files. Functions throw std::system_error where one cannot be used.
  std::string ca_file;           // the CAs that the gateway's certificate may come from
  std::string certificate_file;  // shown in place of a key, where the gateway takes it; empty: none
  std::string certificate_key_file;
};
// QANAT_GATEWAY, QANAT_PROXY, QANAT_KEY, QANAT_CA, QANAT_CERTIFICATE and QANAT_CERTIFICATE_KEY; what is not set is empty.
Access from_environment();

enum class Problem : std::uint8_t {
  NotReachable,  // no gateway or proxy answers there
  NotAllowed,    // no key, or one that is not good
  NotFound,      // no such model, service or call
  Busy,          // limits, budgets, no pool that can take it now: worth a retry where `retry_after` is set
  Refused,       // the request as it is
  NoBackend,     // published, and nobody serves it at the moment
  BrokeOff,      // after it had begun: what came is with the caller, and paid
};
std::string_view to_string(Problem problem);

struct Failure {
  Problem problem{};
  int status = 0;       // of HTTP; 0: none came
  std::string code;     // qanat-gateway(8): "no_pool_ready"
  std::string message;  // for people
  std::chrono::seconds retry_after{};
};
[[noreturn]] void throw_exception_from_error(const Failure& failure, const boost::source_location& where);

template <class T>
using Result = boost::system::result<T, Failure>;

// One pool that was looked at.
struct Candidate {
  std::string instance, model, path, filtered_by;  // filtered_by: empty, it would serve
  bool local = false;
};
// Every pool that a C-URL or a model's name may mean, in the order of the placement, those that are out last.
Result<std::vector<Candidate>> resolve(const Access& access, std::string_view model);

struct Chat {
  std::string model;  // a C-URL or a catalogue name
  std::string system, prompt;
  std::uint32_t max_tokens = 0;  // 0: the model's
  std::string idempotency_key;   // of a call that the program may repeat
};
struct Answer {
  std::string call, pool, path, price;  // the gateway's headers; `call` is what `qanat explain` takes
  std::string finish_reason;            // empty: the caller left
  std::uint64_t prompt_tokens = 0, completion_tokens = 0;
};
// `on_text` gets each piece as it comes; answering false leaves, and what came until then is paid.
Result<Answer> chat(const Access& access, const Chat& chat,
                    const std::function<bool(std::string_view)>& on_text);

// A socket of the caller's own, closed when it goes.
class Socket {
 public:
  explicit Socket(int fd = -1) : fd_(fd) {}
  ~Socket();
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int fd() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};
// A connection to a published TCP service, through the gateway's proxy; its first byte is the service's own.
Result<Socket> dial(const Access& access, std::string_view c_url);

}  // namespace qanat::client
