// UsageRecorder: nothing a call consumed is lost, and no token waits for a disk.
// (1) from the first token, progress is in the journal (memory-mapped: survives kill -9); (2) at the end the record goes
// to a thread that signs and commits it to SQLite; (3) then its slot is free. After a crash, calls left open become
// records with finish "interrupted"; a record committed but still in the journal is not committed twice.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/pool/usage/progress_journal.hh"
#include "gateway/pool/usage/usage_record.hh"

namespace boost::asio {
class io_context;
}

namespace qanat::pool {

// One call's place in the journal.
struct UsageTicket {
  ProgressJournal::Slot slot = 0;
  ProgressJournal::OpenCall call;
  bool open = false;  // has a first token
  bool ended = false;
};

// Its methods are called on the io_context's thread.
class UsageRecorder {
 public:
  // Files: `path` (SQLite), `path`.journal, `path`.key. Recovers what the last process left before it returns.
  UsageRecorder(boost::asio::io_context& io, const std::string& path, std::string pool,
                std::uint64_t unix_ms);
  ~UsageRecorder();

  // A place for a call, or none when the journal is full.
  std::optional<UsageTicket> begin(std::string call, std::string model, std::uint64_t prompt_tokens,
                                   std::uint64_t unix_ms);
  // `generated` tokens exist; call it before any of them is sent.
  void progress(UsageTicket& ticket, std::uint32_t generated);
  // Once; later calls do nothing. Without a token there is nothing to record.
  void end(UsageTicket& ticket, std::string_view finish, std::uint64_t unix_ms);

  boost::asio::awaitable<std::vector<UsageRecord>> after(std::uint64_t sequence, std::size_t limit);
  boost::asio::awaitable<std::uint64_t> acknowledge(std::string consumer, std::uint64_t through);
  boost::asio::awaitable<std::uint64_t> dismiss(std::string consumer);
  const std::string& public_key() const;
  std::uint64_t open_calls() const;

  // Commits what has ended and stops the thread; for the end of the process.
  void stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace qanat::pool
