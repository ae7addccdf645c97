// Call: one call under way, from its request to its line in the ledger. Internal to relay; chat.hh tells the stages.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/http_server.hh"
#include "gateway/relay/answer.hh"
#include "gateway/relay/chat.hh"
#include "gateway/relay/explain.hh"
#include "gateway/relay/responses_request.hh"

// g++ 12 says of coroutine frames in unity builds that their locals have no linkage; frames have no users elsewhere.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wsubobject-linkage"
#endif

namespace qanat::relay {

// Prompt tokens that a call of this body can come to: every byte one, and what a chat template adds.
inline std::uint64_t most_prompt(std::size_t body_bytes) { return body_bytes + 64; }

class Call {
 public:
  Call(Relay& relay, Endpoint endpoint, base::Request& request, base::Responder& out,
       const Errand* errand = nullptr)
      : relay_(relay), endpoint_(endpoint), request_(request), out_(out), errand_(errand) {}
  boost::asio::awaitable<void> run();
  boost::asio::awaitable<void> quote();  // instead of run()

 private:
  // What a try came to.
  enum class Tried : std::uint8_t {
    Ended,      // settled: the call is over
    SameAgain,  // a kept-alive connection died under the request
    Another,    // this pool cannot: the next one may
  };

  boost::asio::awaitable<bool> prepare();
  // The body, which a request to /v1/responses becomes a chat's for.
  boost::system::result<RequestScan, BadRequest> scan();
  // False: it was answered here, as a repeat of another call.
  boost::asio::awaitable<bool> first_of_its_kind();
  // The content filter's word on the request, on a whole answer, and on a stream's window.
  boost::asio::awaitable<bool> passes_filter();
  boost::asio::awaitable<bool> passes_answer(const std::string& body, std::optional<Errc>& withheld);
  boost::asio::awaitable<Answer::Screened> screen(const std::string& question, std::optional<Errc>& withheld);
  boost::asio::awaitable<bool> place_and_admit();
  void place();
  meter::Nano at_most() const;  // it can cost, wherever in the decision's order it ends up
  // A place among the calls in flight, waited for where there is none, and the call placed anew then; false: refused.
  boost::asio::awaitable<bool> take_turn();
  boost::asio::awaitable<bool> within_rates();
  void tell_rates();
  // A budget of the key's that is near its end, as a header: 80;account="lab/default".
  void tell_budget();
  // What was held and taken for it is free again but for what it cost.
  void give_back(meter::Nano cost, std::uint64_t tokens);
  boost::asio::awaitable<void> wait_for_warmth();
  void prefer_warm();

  // One pool that was asked.
  struct Leg {
    const place::Option* option = nullptr;
    meter::Call record;
    meter::Journal::Slot slot = 0;
    place::PoolLoad::Ticket ticket;
    base::Time dispatched{};
    base::Duration longest{};  // it may say nothing
  };
  struct Race;
  base::Duration due(const place::Option& option, int factor) const;
  base::Duration patience(const place::Option& option) const;
  // Takes a slot of the journal and is counted where calls are; false: the journal is full.
  bool dispatch(Leg& leg, const place::Option& option);
  void retire(const Leg& leg, std::uint64_t generated);
  void failed(const Leg& leg, std::string error, int status);
  base::ClientRequest request_for(const place::Option& option) const;
  static boost::asio::awaitable<void> run_leg(std::shared_ptr<Race> race, std::size_t runner,
                                              base::HttpClient& client, std::string origin,
                                              base::ClientRequest request);
  boost::asio::awaitable<base::Result<base::HttpStream>> race(base::HttpClient& client, Leg& leg,
                                                              const place::Option*& second);
  boost::asio::awaitable<Tried> try_pool(const place::Option& option, const place::Option*& second);
  boost::asio::awaitable<Tried> deliver(const Leg& leg, base::HttpStream& upstream, std::uint64_t& generated);
  void settle(const place::Option& option, meter::Outcome outcome, const Answer* answer, Answer::End end);
  void note(const place::Option& option, std::string result);
  // The books of service: a call that was placed, and one that could not be.
  void grade(const place::Option& option, meter::Outcome outcome, std::uint64_t tokens);
  void grade_refusal(meter::Miss miss, std::string why);
  void record_grade(meter::Service& service);
  std::string why_nobody() const;
  // For who traces the call: its span's attributes; to the box, that it crossed the overlay.
  void remark(const Leg& leg);
  void tell_crossing(const Leg& leg);
  std::string body_for(const place::Option& option) const;

  Relay& relay_;
  Endpoint endpoint_;
  base::Request& request_;
  base::Responder& out_;
  const Errand* errand_;  // null: a client's own call
  admit::KeyInfo key_;
  RequestScan scan_;
  // Shared with the log, which may be asked for it while the call runs and after.
  std::shared_ptr<Explanation> why_ = std::make_shared<Explanation>();
  resolve::Target& target_ = why_->target;
  place::Wish& wish_ = why_->wish;
  place::Decision& decision_ = why_->decision;
  std::vector<Try>& tries_ = why_->tries;
  std::vector<place::PrefixHash> prefix_;
  std::string echo_;            // of a request to /v1/responses, what its answer repeats
  std::uint64_t asked_ = 0;     // a hash of the body as it came
  std::string repeat_key_;      // empty: the caller gave no Idempotency-Key
  std::uint64_t most_out_ = 0;  // completion tokens that are held for
  Turns::Turn turn_;
  admit::Accounts::Hold hold_;
  std::uint64_t rated_ = 0;  // tokens taken of the key's minute
  std::string id_;
  std::uint64_t random_ = 0;
  std::uint32_t try_count_ = 0;
  // Of the leg that answers; last_record_: of the last that could not.
  meter::Call record_, last_record_;
  meter::Journal::Slot slot_ = 0;
  base::Time arrived_{}, dispatched_{}, first_{};
  bool warmed_ = false;  // it waited for a placeholder
  bool settled_ = false;
  std::string last_error_;
  std::string filter_reason_;  // why the content filter refused
  int last_status_ = 0;
  std::shared_ptr<bool> answering_;  // the try under way has said something
  // Ends the request under way when the client leaves; outlives this object in the callback.
  std::shared_ptr<std::function<void()>> cancel_ = std::make_shared<std::function<void()>>();
};

}  // namespace qanat::relay
