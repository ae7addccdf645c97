#include "gateway/pool/usage/lease_book.hh"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "gateway/meter/sqlite.hh"

namespace qanat::pool {
namespace asio = boost::asio;

struct LeaseBook::State {
  explicit State(const std::string& path) : database(path) {
    database.execute(R"(CREATE TABLE IF NOT EXISTS lease (
      placeholder TEXT NOT NULL, epoch INTEGER NOT NULL, owner TEXT NOT NULL, model TEXT NOT NULL,
      card_ns INTEGER NOT NULL, bound_ns INTEGER NOT NULL, charged_nano INTEGER NOT NULL,
      last_unix_ms INTEGER NOT NULL, ended INTEGER NOT NULL, PRIMARY KEY (placeholder, epoch)) STRICT)");
    database.execute(
        "CREATE TABLE IF NOT EXISTS offer (version INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT NOT NULL) "
        "STRICT");
  }

  void put(const LeaseLine& l) {
    meter::Transaction transaction(database);
    meter::Statement put(database.handle(),
                         R"(INSERT INTO lease VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (placeholder, epoch) DO UPDATE SET card_ns = max(card_ns, excluded.card_ns),
      bound_ns = max(bound_ns, excluded.bound_ns), charged_nano = max(charged_nano, excluded.charged_nano),
      last_unix_ms = excluded.last_unix_ms, ended = max(ended, excluded.ended))");
    const auto number = [](std::uint64_t n) { return static_cast<std::int64_t>(n); };
    put.bind(l.placeholder).bind(number(l.epoch)).bind(l.owner).bind(l.model);
    put.bind(number(l.card_ns)).bind(number(l.bound_ns)).bind(number(l.charged_nano));
    put.bind(number(l.last_unix_ms)).bind(std::int64_t{l.ended}).run();
    transaction.commit();
  }

  void put_offer(const std::string& text) {
    meter::Transaction transaction(database);
    meter::Statement put(database.handle(), "INSERT INTO offer (what) VALUES (?)");
    put.bind(text).run();
    transaction.commit();
  }

  std::vector<LeaseLine> select(const std::string& placeholder, std::uint64_t since, std::size_t limit,
                                bool all) {
    meter::Statement q(database.handle(),
                       R"(SELECT placeholder, owner, model, epoch, card_ns, bound_ns, charged_nano,
      last_unix_ms, ended FROM lease WHERE (?1 = '' OR placeholder = ?1) AND last_unix_ms >= ?2 AND (?3 OR ended = 0)
      ORDER BY epoch DESC LIMIT ?4)");
    q.bind(placeholder).bind(static_cast<std::int64_t>(since)).bind(std::int64_t{all});
    q.bind(static_cast<std::int64_t>(limit));
    std::vector<LeaseLine> lines;
    while (q.step()) {
      LeaseLine l;
      l.placeholder = q.text(0);
      l.owner = q.text(1);
      l.model = q.text(2);
      const auto number = [&](int column) { return static_cast<std::uint64_t>(q.integer(column)); };
      l.epoch = number(3);
      l.card_ns = number(4);
      l.bound_ns = number(5);
      l.charged_nano = number(6);
      l.last_unix_ms = number(7);
      l.ended = number(8) != 0;
      lines.push_back(std::move(l));
    }
    return lines;
  }

  meter::Database database;
  asio::thread_pool writer{1};
};

LeaseBook::LeaseBook(const std::string& path) : state_(std::make_unique<State>(path)) {}
LeaseBook::~LeaseBook() { stop(); }

std::vector<LeaseLine> LeaseBook::open_lines() { return state_->select("", 0, 1024, false); }

std::string LeaseBook::offer() {
  meter::Statement q(state_->database.handle(), "SELECT what FROM offer ORDER BY version DESC LIMIT 1");
  std::string text;
  while (q.step()) text = q.text(0);
  return text;
}

// Captures stay trivial: g++ 12 destroys others in an awaited expression twice.
asio::awaitable<void> LeaseBook::keep(LeaseLine line) {
  co_await asio::co_spawn(
      state_->writer,
      [state = state_.get(), what = &line]() -> asio::awaitable<void> {
        state->put(*what);
        co_return;
      },
      asio::use_awaitable);
}

asio::awaitable<void> LeaseBook::keep_offer(std::string text) {
  co_await asio::co_spawn(
      state_->writer,
      [state = state_.get(), what = &text]() -> asio::awaitable<void> {
        state->put_offer(*what);
        co_return;
      },
      asio::use_awaitable);
}

asio::awaitable<std::vector<LeaseLine>> LeaseBook::lines(std::string placeholder, std::uint64_t since_unix_ms,
                                                         std::size_t limit) {
  co_return co_await asio::co_spawn(
      state_->writer,
      [state = state_.get(), of = &placeholder, since_unix_ms,
       limit]() -> asio::awaitable<std::vector<LeaseLine>> {
        co_return state->select(*of, since_unix_ms, limit, true);
      },
      asio::use_awaitable);
}

void LeaseBook::stop() { state_->writer.join(); }

}  // namespace qanat::pool
