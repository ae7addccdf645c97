// StoreThread: the one thread that owns what a site keeps, its chunks and its contracts' book, because digests and disks
// take their time and the event loop must not.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "base/answer.hh"
#include "gateway/jobs/artefact/chunk_store.hh"
#include "gateway/jobs/contract/site_book.hh"

namespace qanat::jobs {

struct Shelf {
  ChunkStore chunks;
  SiteBook book;
};

class StoreThread {
 public:
  // `io` must outlive it; resumptions happen there. Throws what the store throws.
  StoreThread(boost::asio::io_context& io, const std::string& folder, std::uint64_t quota_bytes)
      : io_(io), shelf_{ChunkStore(folder, quota_bytes), SiteBook(folder + "/site.db")} {}
  // Finishes what was handed in.
  ~StoreThread() { thread_.join(); }

  // Runs f(Shelf&) on the thread and answers its result; rethrows what it throws. Takes no temporaries: g++ 12
  // destroys a closure twice that is made inside a co_await expression.
  template <class F>
  boost::asio::awaitable<std::invoke_result_t<const F&, Shelf&>> run(const F& f) {
    using Answer = base::Answer<std::invoke_result_t<const F&, Shelf&>>;
    auto answer = std::make_shared<Answer>(io_);
    boost::asio::post(thread_, [this, answer, f] { answer->work_out([&] { return f(shelf_); }); });
    return Answer::wait(std::move(answer));
  }
  template <class F>
  void run(const F&&) = delete;

 private:
  boost::asio::io_context& io_;
  Shelf shelf_;
  boost::asio::thread_pool thread_{1};
};

}  // namespace qanat::jobs
