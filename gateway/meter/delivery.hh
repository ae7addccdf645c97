// Delivery: which tokens of a stream the client's socket has accepted, frame by frame.
// *Delivered* is the only thing a tenant pays for; a frame counts once its last byte was accepted, so a frame
// cut in half by a disconnect is decided for the tenant. TokenCount turns the pool's chunks into token
// numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "gateway/meter/call.hh"

namespace qanat::meter {

class Delivery {
 public:
  // A frame of `bytes` was queued for the client; with it, the client has `tokens` completion tokens in all.
  void offer(std::size_t bytes, std::uint64_t tokens);
  // The socket accepted `bytes` more; answers delivered().
  std::uint64_t accept(std::size_t bytes);

  std::uint64_t delivered() const { return delivered_; }
  std::uint64_t offered() const { return frames_.empty() ? delivered_ : frames_.back().tokens; }
  bool all_accepted() const { return frames_.empty(); }
  // True once any frame was accepted whole, tokens in it or not.
  bool started() const { return started_; }

 private:
  struct Frame {
    std::uint64_t end;  // in bytes since the stream's beginning
    std::uint64_t tokens;
  };
  std::vector<Frame> frames_;  // offered, from next_ on not yet accepted; nearly always one
  std::size_t next_ = 0;
  std::uint64_t offered_bytes_ = 0;
  std::uint64_t accepted_bytes_ = 0;
  std::uint64_t delivered_ = 0;
  bool started_ = false;
};

// Tokens so far, from the pool's chunks: its continuous usage where a chunk carries one, else one per content
// chunk; never above `max_tokens` and `max_prompt` (0: no bound), whatever the pool claims: what it generates beyond is its
// own loss.
class TokenCount {
 public:
  explicit TokenCount(std::uint64_t max_tokens = 0, std::uint64_t max_prompt = 0)
      : max_tokens_(max_tokens), max_prompt_(max_prompt) {}

  struct Usage {
    std::uint64_t prompt_tokens = 0;
    std::uint64_t completion_tokens = 0;
    std::uint64_t cached_tokens = 0;  // of the prompt's
  };
  // A chunk: does it carry content, and the usage it carries. Answers the completion tokens so far.
  std::uint64_t on_chunk(bool has_content, const std::optional<Usage>& usage);
  // The closing usage: a usage on a chunk without choices, or of a whole answer.
  void on_final(const Usage& usage);
  // A whole answer that came without usage: what its bytes come to.
  void on_estimate(std::uint64_t completion_tokens);

  std::uint64_t completion_tokens() const { return completion_; }
  std::uint64_t prompt_tokens() const { return prompt_; }
  std::uint64_t cached_tokens() const { return cached_; }
  bool has_final() const { return final_; }
  // True if the closing usage differs from what the chunks added up to (worth an alert, not a refusal).
  bool disagrees() const { return disagrees_; }
  UsageSource source() const { return source_; }

 private:
  std::uint64_t bounded(std::uint64_t tokens) const;
  void set_prompt(const Usage& usage);
  std::uint64_t max_tokens_, max_prompt_;
  std::uint64_t completion_ = 0;
  std::uint64_t prompt_ = 0;
  std::uint64_t cached_ = 0;
  bool final_ = false;
  bool disagrees_ = false;
  UsageSource source_ = UsageSource::None;
};

}  // namespace qanat::meter
