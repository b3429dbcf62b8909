classdef DictValue
%DICTVALUE A Python dict with any keys, in this order: rlay.DictValue({'speed', 1; int64(5), 'five'}), n rows of two.
  properties
    pairs
  end
  methods
    function self = DictValue(pairs)
      self.pairs = pairs;
    end
  end
end
