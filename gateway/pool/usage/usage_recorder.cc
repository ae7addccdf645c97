#include "gateway/pool/usage/usage_recorder.hh"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/log.hh"
#include "gateway/pool/usage/usage_store.hh"

namespace qanat::pool {
namespace asio = boost::asio;

struct UsageRecorder::State : std::enable_shared_from_this<UsageRecorder::State> {
  State(asio::io_context& context, const std::string& path, std::string pool_id)
      : io(context),
        retry(context),
        pool(std::move(pool_id)),
        journal(path + ".journal"),
        store(path, UsageKey::load_or_create(path + ".key")),
        public_key(store.public_key()) {}

  // Hands everything that has ended to the writer, one batch at a time. On the io_context's thread.
  void flush() {
    if (writing || ended.empty() || stopped) return;
    writing = true;
    asio::post(
        writer, [self = shared_from_this(), entries = std::move(ended), freed = std::move(slots)]() mutable {
          const bool committed = self->commit(entries);
          asio::post(self->io,
                     [self, committed, entries = std::move(entries), freed = std::move(freed)]() mutable {
                       self->on_written(committed, std::move(entries), std::move(freed));
                     });
        });
    ended.clear();
    slots.clear();
  }

  bool commit(const std::vector<UsageStore::Entry>& entries) {
    try {
      store.append(entries);
      return true;
    } catch (const std::exception& error) {
      base::log_error("usage records not committed, kept in the journal, tried again in 1 s: {}",
                      error.what());
      return false;
    }
  }

  void on_written(bool committed, std::vector<UsageStore::Entry> entries,
                  std::vector<ProgressJournal::Slot> freed) {
    writing = false;
    if (committed) {
      for (const auto slot : freed) journal.close(slot);
      return flush();
    }
    ended.insert(ended.begin(), entries.begin(), entries.end());
    slots.insert(slots.begin(), freed.begin(), freed.end());
    retry.expires_after(std::chrono::seconds(1));
    retry.async_wait([self = shared_from_this()](boost::system::error_code error) {
      if (!error) self->flush();
    });
  }

  UsageStore::Entry entry(const ProgressJournal::OpenCall& call, std::string_view finish,
                          std::uint64_t unix_ms) const {
    UsageRecord record;
    record.pool = pool;
    record.call = call.call;
    record.model = call.model;
    record.prompt_tokens = call.prompt_tokens;
    record.completion_tokens = call.generated;
    record.started_unix_ms = call.started_unix_ms;
    record.ended_unix_ms = unix_ms;
    record.finish = finish;
    return {call.once, std::move(record)};
  }

  asio::io_context& io;
  asio::steady_timer retry;
  std::string pool;
  ProgressJournal journal;
  UsageStore store;  // the writer's, once it runs
  std::string public_key;
  std::uint64_t next_once = 0, open = 0;
  std::vector<UsageStore::Entry> ended;
  std::vector<ProgressJournal::Slot> slots;  // of `ended`, same order
  bool writing = false, stopped = false;
  asio::thread_pool writer{1};
};

UsageRecorder::UsageRecorder(asio::io_context& io, const std::string& path, std::string pool,
                             std::uint64_t unix_ms)
    : state_(std::make_shared<State>(io, path, std::move(pool))) {
  // Above every number of an earlier process, as long as it began fewer than a million calls per millisecond.
  state_->next_once = unix_ms << 20;
  std::vector<UsageStore::Entry> entries;
  const auto left = state_->journal.left_open();
  for (const auto& [slot, call] : left) entries.push_back(state_->entry(call, "interrupted", unix_ms));
  if (entries.empty()) return;
  state_->store.append(entries);
  for (const auto& [slot, call] : left) state_->journal.close(slot);
  base::log_info("{} calls were under way when the last process ended; their usage is recorded", left.size());
}

UsageRecorder::~UsageRecorder() { stop(); }

std::optional<UsageTicket> UsageRecorder::begin(std::string call, std::string model,
                                                std::uint64_t prompt_tokens, std::uint64_t unix_ms) {
  const auto slot = state_->journal.reserve();
  if (!slot) return std::nullopt;
  return UsageTicket{*slot,
                     {state_->next_once++, std::move(call), std::move(model), prompt_tokens, 0, unix_ms}};
}

void UsageRecorder::progress(UsageTicket& ticket, std::uint32_t generated) {
  if (ticket.ended) return;
  ticket.call.generated = generated;
  if (ticket.open) return state_->journal.progress(ticket.slot, generated);
  ticket.open = true;
  ++state_->open;
  state_->journal.open(ticket.slot, ticket.call);
}

void UsageRecorder::end(UsageTicket& ticket, std::string_view finish, std::uint64_t unix_ms) {
  if (ticket.ended) return;
  ticket.ended = true;
  if (!ticket.open) return state_->journal.close(ticket.slot);
  --state_->open;
  state_->ended.push_back(state_->entry(ticket.call, finish, unix_ms));
  state_->slots.push_back(ticket.slot);
  state_->flush();
}

// Captures stay trivial: g++ 12 destroys others in an awaited expression twice. The caller keeps the recorder alive.
asio::awaitable<std::vector<UsageRecord>> UsageRecorder::after(std::uint64_t sequence, std::size_t limit) {
  co_return co_await asio::co_spawn(
      state_->writer,
      [state = state_.get(), sequence, limit]() -> asio::awaitable<std::vector<UsageRecord>> {
        co_return state->store.after(sequence, limit);
      },
      asio::use_awaitable);
}

asio::awaitable<std::uint64_t> UsageRecorder::acknowledge(std::string consumer, std::uint64_t through) {
  co_return co_await asio::co_spawn(
      state_->writer,
      [state = state_.get(), name = &consumer, through]() -> asio::awaitable<std::uint64_t> {
        co_return state->store.acknowledge(*name, through);
      },
      asio::use_awaitable);
}

asio::awaitable<std::uint64_t> UsageRecorder::dismiss(std::string consumer) {
  co_return co_await asio::co_spawn(
      state_->writer,
      [state = state_.get(), name = &consumer]() -> asio::awaitable<std::uint64_t> {
        co_return state->store.dismiss(*name);
      },
      asio::use_awaitable);
}

const std::string& UsageRecorder::public_key() const { return state_->public_key; }
std::uint64_t UsageRecorder::open_calls() const { return state_->open; }

void UsageRecorder::stop() {
  if (std::exchange(state_->stopped, true)) return;
  state_->retry.cancel();
  state_->writer.join();  // a batch under way ends first
  // Its slots stay in the journal, and are found committed at the next start.
  if (!state_->ended.empty() && state_->commit(state_->ended))
    for (const auto slot : std::exchange(state_->slots, {})) state_->journal.close(slot);
}

}  // namespace qanat::pool
