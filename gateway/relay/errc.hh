// Errc: what a call can fail of at the relay, as OpenAI's error shape words it.
#pragma once

#include <string_view>

namespace qanat::relay {

enum class Errc {
  NotJson = 1,     // the body is not one JSON object
  MissingField,    // a required member is not there
  WrongType,       // a member we read is not of its type
  OutOfRange,      // a number we read is beyond its bounds
  DuplicateField,  // a member we read appears twice
  Unsupported,     // a member asks for what is not done here
  BadCUrl,         // the model is a malformed C-URL
  BadKey,          // no key, or not a valid one
  OutOfScope,      // the key is not for this endpoint, model or C-URL
  ContentRefused,  // the content filter's word
  FilterFailed,    // it did not answer, and nothing may pass without it
  ModelNotFound,   // no pool serves what was asked for
  NothingFits,     // pools serve it, but none within what the caller allows
  NoPoolReady,     // pools would fit, but none can take the call now
  PoolStarting,    // placeholders would fit, and none is warm in time for the call
  TooManyCalls,    // the key's limit, or the gateway's
  GatewayFull,     // no place among the gateway's calls in time
  BudgetExceeded,  // not enough is left of the budget
  PoolRefused,     // the pool answered with an error of its own
  PoolFailed,      // the pool broke off, or could not be reached
  NotFound,        // no such page, call or model
  RepeatUnderWay,  // the idempotency key's first call has not ended
  RepeatAnswered,  // it has, and its answer is not kept
  RepeatDiffers,   // it asked for something else
  LedgerAway,      // the slice of the budget is used up, and the shared ledger does not answer
  CallLost,        // answered, but something of ours failed
};

// error.type, error.code and the status of an answer.
std::string_view type_of(Errc code);
std::string_view to_string(Errc code);
int status_of(Errc code);

}  // namespace qanat::relay
