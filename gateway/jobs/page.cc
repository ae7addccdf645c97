#include "gateway/jobs/page.hh"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace qanat::jobs {

using nlohmann::ordered_json;

boost::asio::awaitable<void> send_page(base::Request& in, base::Responder& out, ordered_json list,
                                       PageLimits limits) {
  std::size_t limit = limits.usual;
  if (const auto text = in.parameter("limit")) {
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), limit);
    const bool number = error == std::errc{} && end == text->data() + text->size();
    if (!number || limit == 0 || limit > limits.most) {
      const std::string message = "'limit' is 1 to " + std::to_string(limits.most);
      co_return void(co_await out.error(400, "invalid_value", message));
    }
  }
  const std::string order = in.parameter("order").value_or("desc");
  if (order != "desc" && order != "asc")
    co_return void(co_await out.error(400, "invalid_value", "'order' is desc or asc"));
  if (order == "asc") std::reverse(list.begin(), list.end());
  auto from = list.begin();
  if (const auto after = in.parameter("after")) {
    from = std::find_if(from, list.end(),
                        [&](const ordered_json& one) { return one.value("id", "") == *after; });
    if (from != list.end()) ++from;
  }
  ordered_json data = ordered_json::array();
  for (; from != list.end() && data.size() < limit; ++from) data.push_back(std::move(*from));
  const bool more = from != list.end();
  const std::string first = data.empty() ? "" : data.front().value("id", ""),
                    last = data.empty() ? "" : data.back().value("id", "");
  const ordered_json body{{"object", "list"},
                          {"data", std::move(data)},
                          {"first_id", first},
                          {"last_id", last},
                          {"has_more", more}};
  co_await out.json(200, body.dump());
}

}  // namespace qanat::jobs
