// fetch: brings what is missing of an artefact from another site's store into this one, chunk by chunk. Interrupted, it
// goes on with what is still missing.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <string>

#include "gateway/jobs/artefact/digest.hh"
#include "gateway/jobs/artefact/store_thread.hh"
#include "gateway/jobs/errc.hh"

namespace qanat::base {
class HttpClient;
struct ClientResponse;
}  // namespace qanat::base

namespace qanat::jobs {

// Asked before each request: a ticket "get" for the artefact at that site.
using TicketFor = std::function<std::string()>;

// Errors: the other site's (Errc), the network's. All but `origin`'s own refer to what outlives the call.
boost::asio::awaitable<Result<void>> fetch(base::HttpClient& client, StoreThread& store, std::string origin,
                                           TicketFor ticket, Digest id);

// What another site's error body means here.
Errc refusal_of(const base::ClientResponse& answer);

}  // namespace qanat::jobs
