// StreamWindow: a stream's newest frames, held back until a content filter has seen what stands in them. What is delivered
// is never the newest half of the window: a text of up to half of it is seen whole before a byte of it goes out.
// Sans-I/O; one stream, one window.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace qanat::relay {

class StreamWindow {
 public:
  // `bytes` of text are held at most, and one frame more.
  explicit StreamWindow(std::size_t bytes) : bytes_(bytes) {}

  static constexpr std::size_t kMaxFrameBytes = 1024 * 1024;  // held, whatever text is in them
  static constexpr std::size_t kMaxChoices = 128;

  struct Frame {
    std::string bytes;         // as the client gets it
    std::uint64_t tokens = 0;  // that the client has with it
  };
  // `data`: the frame's JSON, or "[DONE]". False if it cannot be read as a chunk: nobody could say what is in it.
  bool hold(Frame frame, const std::string& data);
  // The window is full: nothing more is held before the filter was asked.
  bool due() const;
  bool unseen() const { return fresh_ > 0; }  // text that the filter was not asked about
  // {"choices":[{"index":0,"text":"…"}]}, of all that is held.
  std::string question() const;
  // The filter has nothing against what is held: what may go out, in order. `all`: the stream is at its end.
  std::vector<Frame> pass(bool all);
  // The filter has: nothing of it goes out. Answers the chunk that ends every choice that is still open.
  std::string cut();

  std::size_t held_text() const { return text_; }
  // The chunk that tells what was delivered.
  std::string usage(std::uint64_t prompt_tokens, std::uint64_t completion_tokens) const;

 private:
  struct Held {
    Frame frame;
    std::vector<std::pair<int, std::string>> texts;  // by choice
    std::vector<int> ends;                           // choices whose finish_reason it carries
    std::size_t text = 0;                            // bytes
  };
  bool read(const nlohmann::json& chunk, Held& held);

  std::size_t bytes_;
  std::deque<Held> held_;
  std::size_t text_ = 0, frame_bytes_ = 0;  // of held_
  std::size_t fresh_ = 0;                   // of text_, since the filter was asked
  std::set<int> open_{0};                   // choices that the client has seen no end of
  std::string head_;                        // the first chunk's id, created, model, as JSON
};

}  // namespace qanat::relay
