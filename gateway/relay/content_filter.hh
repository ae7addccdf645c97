// ContentFilter: asks a program of the operator's whether a call's text may pass: the request before it is placed, a whole
// answer before it is delivered, a stream window by window (stream_window.hh). Off unless configured; what it is asked is neither kept nor logged here.
//
//   POST url {"stage":"request"|"answer"|"stream","call","tenant","project","model","body":{…}}  →  {"allow":true}
//                                                                                       or {"allow":false,"reason":"…"}
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>
#include <string_view>

#include "base/http_client.hh"
#include "base/metrics.hh"
#include "gateway/admit/accounts.hh"

namespace qanat::relay {

struct FilterConfig {
  std::string origin, path;        // http://ADDRESS:PORT, /…
  bool requests = true;            // which texts it is asked about
  bool answers = false;            // only whole ones
  bool streams = false;            // else they are delivered as they come
  std::size_t window_bytes = 512;  // of a stream's text, held back at most
  bool open = false;               // a filter that does not answer lets everything pass; else nothing
  base::Duration patience{};       // for its whole answer
};

class ContentFilter {
 public:
  ContentFilter(boost::asio::io_context& io, const FilterConfig& config, base::MetricsRegistry& metrics);

  enum class Stage : std::uint8_t { Request, Answer, Stream };
  bool asks(Stage stage) const {
    return stage == Stage::Request  ? config_.requests
           : stage == Stage::Answer ? config_.answers
                                    : config_.streams;
  }
  std::size_t window_bytes() const { return config_.window_bytes; }
  struct Verdict {
    bool allowed = false;
    bool failed = false;  // it did not answer, or not as it should; `allowed` says what that means
    std::string reason;   // for the caller
  };
  // `body` is JSON, and must live until the verdict.
  boost::asio::awaitable<Verdict> ask(Stage stage, const std::string& call, const admit::KeyInfo& key,
                                      const std::string& model, const std::string& body);

 private:
  boost::asio::awaitable<base::Result<base::ClientResponse>> post(std::string text);

  boost::asio::io_context& io_;
  FilterConfig config_;
  base::HttpClient client_;
  base::Counter& allowed_;
  base::Counter& refused_;
  base::Counter& failed_;
};

}  // namespace qanat::relay
