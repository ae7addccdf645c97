// Makes a page that is served inside a namespace reachable from the host's own loopback, for a browser.
// Plain TCP forwarding on one thread that lives in the namespace; it adds no right that the page doesn't give.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace qanat::lab {

class PageForward {
 public:
  // Forwards 127.0.0.1:PORT (the first free one from `first_port`) to `target` ("10.2.0.6:7480") inside `netns`.
  // Throws std::system_error when no port can be had.
  PageForward(const std::string& netns, const std::string& target, std::uint16_t first_port);
  ~PageForward();
  PageForward(const PageForward&) = delete;
  PageForward& operator=(const PageForward&) = delete;
  std::string url() const;  // "http://127.0.0.1:7480/"

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qanat::lab
