// send_page: a list as OpenAI's API pages it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <nlohmann/json_fwd.hpp>

#include "base/http_server.hh"

namespace qanat::jobs {

struct PageLimits {
  std::size_t usual = 20, most = 100;
};

// `newest_first`: all of them, objects with an "id". By the query: `limit`, `after` (an id; one that is not there has nothing
// after it), `order` (desc, asc). Answers {object, data, first_id, last_id, has_more}, or 400.
boost::asio::awaitable<void> send_page(base::Request& in, base::Responder& out,
                                       nlohmann::ordered_json newest_first, PageLimits limits = {});

}  // namespace qanat::jobs
