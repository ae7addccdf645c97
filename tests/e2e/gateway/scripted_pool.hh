// ScriptedPool: a pool that does as the call says, well or badly: what no honest pool can be made to do on demand. The
// body's "x_script" names what happens; a pool that is not `scripted` answers every call well.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace qanat::e2e {

class ScriptedPool {
 public:
  // Of a call with tools it calls the first one, with {"place":"delta"}, and answers "It is dry." once that has told something.
  // Listens on host:port, in the namespace of the thread that makes it, until it goes. Five tokens an answer; {"prompt_tokens":40,"cached_tokens":30}.
  ScriptedPool(std::string id, unsigned port, bool scripted, const std::string& host = "127.0.0.1",
               std::string model = "deepseek-r1-distill-qwen-32b");
  ~ScriptedPool();
  ScriptedPool(const ScriptedPool&) = delete;
  ScriptedPool& operator=(const ScriptedPool&) = delete;

  static constexpr std::uint64_t kTokens = 5, kPrompt = 40, kCached = 30;
  static constexpr std::uint64_t kTorrentTokens = 4000;
  // Calls that reached it.
  std::uint64_t calls() const { return calls_; }
  // The latest of them, head and body.
  std::string last_request() const;
  // Of them, those that it kept waiting and that were given up.
  std::uint64_t left() const { return left_; }
  // Bytes that were taken from it of answers that do not end.
  std::uint64_t sent() const { return sent_; }
  // Answers what it keeps waiting by the script "held", and from now on at once.
  void release() { released_ = true; }
  void hold() { released_ = false; }
  // What it says of itself from now on.
  enum class Descriptor : std::uint8_t { True, Hangs, Garbage, Endless, Drips };
  // A file that it serves at "/NAME" beside all else.
  void put_file(const std::string& name, std::string text);
  void describe_as(Descriptor how) { describes_ = how; }

 private:
  void accept_all();
  void serve(int fd);
  bool describe(int fd);
  bool answer(int fd, const std::string& request);
  bool stream(int fd, std::string_view script);
  bool with_tools(int fd, const std::string& request);

  std::string id_, model_;
  bool scripted_;
  int listener_ = -1;
  std::atomic<bool> stop_{false}, released_{false};
  std::atomic<Descriptor> describes_{Descriptor::True};
  std::atomic<int> open_{0};
  std::atomic<std::uint64_t> calls_{0}, left_{0}, sent_{0};
  mutable std::mutex mutex_;
  std::string last_request_;
  std::map<std::string, std::string> files_;
  std::thread thread_;
};

}  // namespace qanat::e2e
