// A random bearer token of 128 bits, in hexadecimal.
#pragma once

#include <string>

namespace qanat::lab {

std::string random_token();

}  // namespace qanat::lab
