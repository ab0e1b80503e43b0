#pragma once

#include <pybind11/numpy.h>

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

template <class T> using Array = pybind11::array_t<T, pybind11::array::c_style | pybind11::array::forcecast>;

/// A read-only view of memory that `owner` keeps alive.
template <class T>
pybind11::array view(std::span<const T> data, std::vector<pybind11::ssize_t> shape, pybind11::handle owner)
{
  pybind11::array_t<T> array(std::move(shape), data.data(), owner);
  array.attr("flags").attr("writeable") = false;
  return array;
}

template <class T> pybind11::array copy(std::span<const T> data, std::vector<pybind11::ssize_t> shape)
{
  return pybind11::array_t<T>(std::move(shape), data.data());
}

inline pybind11::ssize_t size_of(std::size_t n)
{
  return static_cast<pybind11::ssize_t>(n);
}
