// ResponsesAnswer: a pool's chat completion, whole or chunk by chunk, told as /v1/responses tells it. Sans-I/O; one answer.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/meter/delivery.hh"

namespace qanat::relay {

class ResponsesAnswer {
 public:
  using Usage = meter::TokenCount::Usage;
  // `id`: of the call, from which the response and its items have theirs. `echo`: what it repeats of the request.
  ResponsesAnswer(std::string_view id, std::int64_t created_unix_s, std::string model, std::string echo);

  // Each appends the events that the client gets; sequence numbers go on.
  // A chunk of the pool's stream; false: it cannot be read as one, or is more than kMaxItems.
  bool on_chunk(std::string_view chunk, std::string& events);
  void on_end(const Usage& usage, std::string& events);
  // The content filter ended it after what was told so far.
  void on_cut(const Usage& usage, std::string& events);
  void on_failure(std::string_view message, std::string& events);

  // A whole answer; nothing if it cannot be read as one.
  std::optional<std::string> whole(std::string_view chat, const Usage& usage);

  static constexpr std::size_t kMaxItems = 256;

 private:
  enum class Kind : std::uint8_t { Text, Refusal, Reasoning, Function };
  struct Item {
    Kind kind{};
    std::string text;           // of a function: its arguments
    std::string call_id, name;  // of a function
  };
  bool read(const nlohmann::json& chat, std::string& events);
  bool read_delta(const nlohmann::json& delta, std::string& events);
  bool read_calls(const nlohmann::json& calls, std::string& events);
  bool add(Kind kind, const std::string& text, std::string& events);
  std::size_t open(Item item, std::string& events);
  void grow(std::size_t at, const std::string& text, std::string& events);
  void begin(std::string& events);
  void close(const Usage& usage, std::string& events);
  // "event: …\ndata: {…}\n\n"
  void event(std::string_view type, const std::string& members, std::string& events);
  std::string item_id(std::size_t at) const;
  std::string part(const Item& item, std::string_view text) const;
  std::string item_json(std::size_t at, std::string_view status, bool begun) const;
  std::string place_of(std::size_t at) const;
  std::string response(std::string_view status, const Usage* usage, std::string_view error) const;
  std::string_view status() const;

  std::string name_, model_, echo_;  // name_: what its ids have in common
  std::int64_t created_;
  std::vector<Item> items_;
  std::map<int, std::size_t> functions_;  // items by the chat's numbers of calls
  std::string finish_;
  std::uint64_t reasoning_tokens_ = 0, sequence_ = 0;
  bool begun_ = false;
};

}  // namespace qanat::relay
