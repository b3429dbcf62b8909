classdef TupleValue
%TUPLEVALUE A Python tuple: rlay.TupleValue({1, 2}).
  properties
    items
  end
  methods
    function self = TupleValue(items)
      self.items = items;
    end
  end
end
