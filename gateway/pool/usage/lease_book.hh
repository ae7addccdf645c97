// LeaseBook: the pool's own books of card time: a line for every right that a gateway bound, and what it came to. A line
// is on disk before its gateway is told of it, so that supplier and tenant mean the same sum whoever is killed when.
// Beside it the owner's offer, as text. Both in SQLite, on a thread of their own, because a commit waits for the disk.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace qanat::pool {

struct LeaseLine {
  std::string placeholder, owner, model;
  std::uint64_t epoch =
      0;  // Unix milliseconds at which it was bound, or a little more: unique with the placeholder
  std::uint64_t card_ns = 0, bound_ns = 0, charged_nano = 0;
  std::uint64_t last_unix_ms = 0;  // when it last changed
  bool ended = false;
};

// Methods are called on one thread, the io_context's.
class LeaseBook {
 public:
  // Throws meter::SqliteError naming the file.
  explicit LeaseBook(const std::string& path);
  ~LeaseBook();

  // For the start of the process: lines that have not ended, and the offer ("" before there was one).
  std::vector<LeaseLine> open_lines();
  std::string offer();

  // Durable when it returns. Throws meter::SqliteError: then nobody may be told.
  boost::asio::awaitable<void> keep(LeaseLine line);
  boost::asio::awaitable<void> keep_offer(std::string text);
  // Latest first; of one placeholder if it is named.
  boost::asio::awaitable<std::vector<LeaseLine>> lines(std::string placeholder, std::uint64_t since_unix_ms,
                                                       std::size_t limit);
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qanat::pool
