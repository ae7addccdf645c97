// SQL's integers are signed: ours go in and come out bit for bit.
#pragma once

#include <cstdint>

namespace qanat::meter {

inline std::int64_t i64(std::uint64_t value) { return static_cast<std::int64_t>(value); }
inline std::uint64_t u64(std::int64_t value) { return static_cast<std::uint64_t>(value); }

}  // namespace qanat::meter
