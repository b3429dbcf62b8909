classdef DictValue
%DICTVALUE A Python dict with any keys, in this order: rlay.DictValue({'speed', 1; int64(5), 'five'}), n rows of two.
  properties
    pairs
  end
  methods
    function self = DictValue(pairs)
      self.pairs = pairs;
    end
    function value = get(self, key)
      %GET The value of a key, or [].
      value = [];
      key = rlay.chars(key);
      found = find(cellfun(@(known) strcmp(class(known), class(key)) && isequal(known, key), self.pairs(:, 1)), 1);
      if ~isempty(found)
        value = self.pairs{found, 2};
      end
    end
  end
end
